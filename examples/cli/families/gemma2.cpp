/// @file
/// The family gemma2: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/gemma2.hpp>

static const bool registered = sp::register_family<sp::families::gemma2_family>();
