// error: shardproof[SP105] no legal partition: grouped_by<G> needs a G that is declared dim<n, sp::groups> and an extent that is a multiple of n. Fix: declare the group dimension with sp::groups, or correct the extent.
// code: SP105
// path: heads, extent<8>
// near: 12
// lines: g++ 24, clang 24
#include <shardproof/shardproof.hpp>
#ifdef MUST_FAIL
struct heads : sp::dim<4> {};
#else
struct heads : sp::dim<4, sp::groups> {};
#endif
struct query_heads : sp::dim<8, sp::grouped_by<heads>> {};
static_assert(sp::info<query_heads>.extent == 8);
