/// @file
/// The family glm4: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/glm4.hpp>

static const bool registered = sp::register_family<sp::families::glm4_family>();
