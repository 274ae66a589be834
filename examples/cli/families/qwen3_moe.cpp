/// @file
/// The family qwen3_moe: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/qwen3_moe.hpp>

static const bool registered = sp::register_family<sp::families::qwen3_moe_family>();
