/// @file
/// The family mistral: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/mistral.hpp>

static const bool registered = sp::register_family<sp::families::mistral_family>();
