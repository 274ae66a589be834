#pragma once
// Shared by the files that check the laws: a line of figures for every operation, and what makes the test fail.
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

inline void print(const char* name, int ranks, const sp::law_report& r) {
  std::printf("%-34s %d ranks: %4d accepted, %4d refused, value %.0e, gradient %.0e, slope %.0e %s\n", name, ranks, r.accepted,
              r.refused, r.worst_value, r.worst_gradient, r.worst_slope, r.where.c_str());
}
/// Laws hold on 2, 3 and 4 ranks; on two, so many tuples of placements are accepted.
template <class F, class... In> void law(const char* name, int accepted, F f, const In&... in) {
  for (const int ranks : {2, 3, 4}) {
    const sp::law_report r = sp::check_laws(on_threads, {.ranks = ranks}, f, in...);
    print(name, ranks, r);
    INFO(name << " on " << ranks << " ranks");
    CHECK(r.where == "");
    if (ranks == 2) CHECK(r.accepted == accepted);
  }
}
/// The laws do not hold, and the report says so in these words.
template <class F, class... In> void breaks(const char* name, const char* words, F f, const In&... in) {
  const sp::law_report r = sp::check_laws(on_threads, f, in...);
  print(name, 2, r);
  INFO(name << ": " << r.where);
  CHECK(!r.holds());
  CHECK(r.where.find(words) != std::string::npos);
}

}  // namespace laws_test
