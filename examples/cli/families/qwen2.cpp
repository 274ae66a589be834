/// @file
/// The family qwen2: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/qwen2.hpp>

static const bool registered = sp::register_family<sp::families::qwen2_family>();
