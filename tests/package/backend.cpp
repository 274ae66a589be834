// A program that runs on the CPU includes its backend in exactly one file.
#include <shardproof/backend/cpu.hpp>
