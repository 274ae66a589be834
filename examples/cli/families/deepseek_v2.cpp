/// @file
/// The family deepseek_v2: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/deepseek_v2.hpp>

static const bool registered = sp::register_family<sp::families::deepseek_v2_family>();
