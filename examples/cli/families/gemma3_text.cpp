/// @file
/// The family gemma3_text: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/gemma3_text.hpp>

static const bool registered = sp::register_family<sp::families::gemma3_text_family>();
