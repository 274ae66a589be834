/// @file
/// The family gpt2: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/gpt2.hpp>

static const bool registered = sp::register_family<sp::families::gpt2_family>();
