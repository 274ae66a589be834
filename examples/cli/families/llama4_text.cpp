/// @file
/// The family llama4_text: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/llama4_text.hpp>

static const bool registered = sp::register_family<sp::families::llama4_text_family>();
