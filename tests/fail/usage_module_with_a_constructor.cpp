// error: shardproof: a module is an aggregate, so that its members can be listed. Fix: take away its constructors, its private members and its virtual functions; set members up in configure().
// lines: g++ 24, clang 30
#include <shardproof/shardproof.hpp>
#include "llama/dims.hpp"

template <class At> struct up {
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
#ifdef MUST_FAIL
  explicit up(int w) : width(w) {}
#endif
  int width = 3;
  auto forward(const auto& x) const { return up_proj(x); }
};
inline constexpr sp::plan one_device{};
void prepare(up<sp::at<one_device>>& m) { sp::initialise(m, 1); }
