// The ledger: counts, bytes, and a hash of the schedule whose parts can be replayed.
#include <shardproof/runtime/ledger.hpp>
namespace sp = shardproof;
using sp::collective;

// one call of each kind
template <collective C> constexpr sp::pass one = [] { sp::pass p; p.count(C, 100); return p; }();
static_assert(one<collective::all_reduce>.all_reduces == 1);
static_assert(one<collective::all_gather>.all_gathers == 1);
static_assert(one<collective::reduce_scatter>.reduce_scatters == 1);
static_assert(one<collective::all_to_all>.all_to_alls == 1);
static_assert(one<collective::broadcast>.broadcasts == 1);
static_assert(one<collective::all_reduce>.all_gathers == 0);
static_assert(one<collective::all_reduce>.bytes == 100);
static_assert(one<collective::all_reduce>.collectives() == 1);
static_assert(one<collective::barrier>.collectives() == 0);
static_assert(sp::pass{}.collectives() == 0);
static_assert(sp::pass{} == sp::pass{});
static_assert(!(one<collective::all_reduce> == one<collective::all_gather>));
// several at once
constexpr sp::pass three = [] { sp::pass p; p.count(collective::all_reduce, 100, 3); return p; }();
static_assert(three.all_reduces == 3 && three.bytes == 300);
// the difference of two, once more
constexpr sp::pass doubled = [] { sp::pass p = three; p.again(three, one<collective::all_reduce>); return p; }();
static_assert(doubled.all_reduces == 5 && doubled.bytes == 500);

// the schedule: order, operation, axis and size count
template <class... F> constexpr sp::ledger met(F... f) { sp::ledger l; (f(l), ...); return l; }
constexpr auto reduce = [](sp::ledger& l) { l.meet(collective::all_reduce, 0, 160); };
constexpr auto gather = [](sp::ledger& l) { l.meet(collective::all_gather, 0, 160); };
constexpr auto reduce_on_dp = [](sp::ledger& l) { l.meet(collective::all_reduce, 1, 160); };
constexpr auto reduce_less = [](sp::ledger& l) { l.meet(collective::all_reduce, 0, 80); };
static_assert(met().schedule == sp::ledger{}.schedule);
static_assert(met(reduce).schedule == met(reduce).schedule);
static_assert(met(reduce).schedule != met().schedule);
static_assert(met(reduce).schedule != met(gather).schedule);
static_assert(met(reduce).schedule != met(reduce_on_dp).schedule);
static_assert(met(reduce).schedule != met(reduce_less).schedule);
static_assert(met(reduce).schedule != met(reduce, reduce).schedule);
static_assert(met(reduce, gather).schedule != met(gather, reduce).schedule);
static_assert(met(reduce, gather).meetings == 2);

// a replayed layer hashes like one that was run
constexpr sp::ledger replayed(int times) {
  sp::ledger l = met(gather);
  const sp::ledger before = l;
  reduce(l);
  reduce_less(l);
  const sp::ledger after = l;
  for (int i = 1; i < times; ++i) l.again(after, before);
  reduce_on_dp(l);
  return l;
}
constexpr sp::ledger run(int times) {
  sp::ledger l = met(gather);
  for (int i = 0; i < times; ++i) { reduce(l); reduce_less(l); }
  reduce_on_dp(l);
  return l;
}
static_assert(replayed(1) == run(1));
static_assert(replayed(2) == run(2));
static_assert(replayed(126) == run(126));
static_assert(replayed(126).schedule != run(125).schedule);
