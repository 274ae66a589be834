/// @file
/// The family longcat_flash: one .cpp, so that a change elsewhere does not compile it again.
#include <shardproof/families/erased.hpp>
#include <shardproof/families/longcat_flash.hpp>

static const bool registered = sp::register_family<sp::families::longcat_flash_family>();
