// error: shardproof[SP105] no legal partition: grouped_by<G> needs a G that is declared dim<n, sp::groups> and an extent that is a multiple of n. Fix: declare the group dimension with sp::groups, or correct the extent.
// code: SP105
// path: kv, extent<10>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
struct kv : sp::dim<4, sp::groups> {};
#ifdef MUST_FAIL
struct query : sp::dim<10, sp::grouped_by<kv>> {};
#else
struct query : sp::dim<12, sp::grouped_by<kv>> {};
#endif
static_assert(sp::info<query>.uneven == false);
