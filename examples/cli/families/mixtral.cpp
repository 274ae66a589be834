/// @file
/// The family mixtral: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/mixtral.hpp>

static const bool registered = sp::register_family<sp::families::mixtral_family>();
