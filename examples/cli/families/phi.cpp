/// @file
/// The family phi: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/phi.hpp>

static const bool registered = sp::register_family<sp::families::phi_family>();
