// A consumer's program: the headers are found, C++20 is on, and a sentence of the catalogue can be read in both front ends.
#include <cstdio>
#include <shardproof/core/code.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/types.hpp>
namespace sp = shardproof;
static_assert(sp::number(sp::code::split_needs_packed) == 106);

int main() { return std::puts(sp::sentence(sp::code::split_needs_packed)) < 0; }
