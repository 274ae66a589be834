/// @file
/// The family llama: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/llama.hpp>

static const bool registered = sp::register_family<sp::families::llama_family>();
