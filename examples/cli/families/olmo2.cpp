/// @file
/// The family olmo2: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/olmo2.hpp>

static const bool registered = sp::register_family<sp::families::olmo2_family>();
