// The family mistral for this program's tests: one .cpp, as in any program that links it.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/mistral.hpp>

static const bool registered = sp::register_family<sp::families::mistral_family>();
