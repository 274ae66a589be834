/// @file
/// The family glm4_moe: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/glm4_moe.hpp>

static const bool registered = sp::register_family<sp::families::glm4_moe_family>();
