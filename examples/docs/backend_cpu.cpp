// The kernels: exactly one file of a program includes them.
#include <shardproof/backend/cpu.hpp>
