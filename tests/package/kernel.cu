// Device code may include what only plans and types.
#include <shardproof/types.hpp>
namespace sp = shardproof;
__global__ void number_of(int* out) { *out = sp::number(sp::code::split_needs_packed); }
