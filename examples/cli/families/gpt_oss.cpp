/// @file
/// The family gpt_oss: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/gpt_oss.hpp>

static const bool registered = sp::register_family<sp::families::gpt_oss_family>();
