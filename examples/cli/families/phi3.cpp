/// @file
/// The family phi3: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/phi3.hpp>

static const bool registered = sp::register_family<sp::families::phi3_family>();
