/// @file
/// The family qwen2_moe: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/qwen2_moe.hpp>

static const bool registered = sp::register_family<sp::families::qwen2_moe_family>();
