// The family qwen3 for this program's tests: one .cpp, as in any program that links it.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/qwen3.hpp>

static const bool registered = sp::register_family<sp::families::qwen3_family>();
