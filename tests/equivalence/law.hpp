#pragma once
// Shared by the files that check the laws: a line of figures for every operation, their sum, and what makes the test fail.
#include <cstdio>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
#include <shardproof/tensor/check_laws.hpp>
#include <shardproof/tensor/operation.hpp>
namespace laws_test {

// Extents that two and three ranks share unevenly, or that leave some with nothing.
struct batch : sp::dim<> {};
struct steps : sp::dim<> {};
struct hidden : sp::dim<4> {};
struct ffn : sp::dim<5> {};
struct single : sp::dim<1> {};
template <class... D> using sizes = sp::sizes_of<sp::dims<D...>>;
template <class... D> using ids = sp::ids_of<sp::dims<D...>>;
using here = sp::free_operation<struct the_operation_under_test>;

inline constexpr auto on_threads = [](int ranks, auto body) { sp::run(ranks, body); };

inline void print(const char* name, const char* ranks, const sp::law_report& r) {
  std::printf("%-34s %s ranks: %4d accepted, %5d refused, value %.0e, gradient %.0e, slope %.0e %s\n", name, ranks, r.accepted,
              r.refused, r.worst_value, r.worst_gradient, r.worst_slope, r.where.c_str());
}
/// What the program checked, printed when it ends.
struct census {
  long operations = 0, bitwise = 0, accepted = 0, refused = 0, skipped = 0;
  ~census() {
    if (operations)
      std::printf("laws: %ld operations (%ld also on whole numbers, bit for bit) x every tuple of placements x 1 to 8 ranks: %ld tuples, "
                  "%ld accepted and equal to one rank, %ld refused by all ranks alike, %ld skipped\n",
                  operations, bitwise, accepted + refused, accepted, refused, skipped);
  }
};
inline census all;

template <class F, class... In> sp::law_report on_every_count(const char* name, int accepted, bool bitwise, F f, const In&... in) {
  sp::law_report sum;
  for (int ranks = 1; ranks <= 8; ++ranks) {
    const sp::law_report r = sp::check_laws(on_threads, {.ranks = ranks, .step = ranks == 1 ? 1e-5 : 0, .bitwise = bitwise}, f, in...);
    INFO(name << " on " << ranks << " ranks" << (bitwise ? ", whole numbers" : ""));
    CHECK(r.where == "");
    if (ranks == 2) CHECK(r.accepted == accepted);
    sum.accepted += r.accepted;
    sum.refused += r.refused;
    sum.worst_value = std::max(sum.worst_value, r.worst_value);
    sum.worst_gradient = std::max(sum.worst_gradient, r.worst_gradient);
    sum.worst_slope = std::max(sum.worst_slope, r.worst_slope);
    if (sum.where.empty()) sum.where = r.where;
  }
  all.accepted += sum.accepted;
  all.refused += sum.refused;
  return sum;
}
/// Laws hold on 1 to 8 ranks; on two, so many tuples of placements are accepted.
template <class F, class... In> void law(const char* name, int accepted, F f, const In&... in) {
  print(name, "1..8", on_every_count(name, accepted, false, f, in...));
  ++all.operations;
}
/// The same, and of whole numbers every bit is right: for operations that only add, multiply and move.
template <class F, class... In> void exact_law(const char* name, int accepted, F f, const In&... in) {
  law(name, accepted, f, in...);
  (void)on_every_count(name, accepted, true, f, in...);
  ++all.bitwise;
}
/// The laws do not hold, and the report says so in these words.
template <class F, class... In> void breaks(const char* name, const char* words, F f, const In&... in) {
  const sp::law_report r = sp::check_laws(on_threads, f, in...);
  print(name, "   2", r);
  INFO(name << ": " << r.where);
  CHECK(!r.holds());
  CHECK(r.where.find(words) != std::string::npos);
}

}  // namespace laws_test
