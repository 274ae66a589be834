/// @file
/// The one file of the program that includes the CPU backend.
#include <shardproof/backend/cpu.hpp>
