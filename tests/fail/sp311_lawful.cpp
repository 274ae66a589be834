// error: shardproof[SP311] the adjoint of the declared adjoint is not this primitive (see Op)
// code: SP311
// path: my_sum
// The diagnostic form of obeys_laws, for a primitive that is not made with declare.
#include <shardproof/core/primitives.hpp>
using namespace shardproof;

struct my_sum {
  using src = partial;
  using dst = invariant;
#ifdef MUST_FAIL
  using adjoint = primitive::convert<invariant, replicate>;
#else
  using adjoint = primitive::adjoint_of<my_sum>;
#endif
  static constexpr int id = -1;
  static constexpr bool keeps_value = true;
};
static_assert(primitive::lawful<my_sum>::ok);
