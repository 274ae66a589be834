/// @file
/// The family granite: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/granite.hpp>

static const bool registered = sp::register_family<sp::families::granite_family>();
