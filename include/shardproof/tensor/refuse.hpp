#pragma once
/// @file
/// The run-time form of a diagnostic: the same sentence, with the facts in brackets.
///
///     sp::refuse(sp::code::needs_f, "layers.0.mlp.up_proj", facts, 2);     // ... [at layers.0.mlp.up_proj, fed invariant from embed_tokens]
///
/// Out of line and not a template: a run-time plan would otherwise compile its text once per operation.
#include <initializer_list>
#include <shardproof/core/extents.hpp>
#include <shardproof/core/layout.hpp>
namespace shardproof {

/// A line of text in a fixed buffer; what does not fit is dropped.
class text_line {
  char p_[768] = {};
  unsigned n_ = 0;

 public:
  constexpr text_line& operator<<(std::string_view s) {
    for (char c : s) if (n_ + 1 < sizeof p_) p_[n_++] = c;
    return *this;
  }
  constexpr text_line& operator<<(long v) {
    char digits[24] = {};
    int n = 0;
    unsigned long u = v < 0 ? 0ul - static_cast<unsigned long>(v) : static_cast<unsigned long>(v);
    do { digits[n++] = char('0' + u % 10); u /= 10; } while (u);
    if (v < 0) *this << "-";
    while (n) *this << std::string_view(&digits[--n], 1);
    return *this;
  }
  constexpr text_line& operator<<(int v) { return *this << long(v); }
  constexpr text_line& operator<<(const placement& p) {
    constexpr const char* names[] = {"invariant", "replicate", "varying", "partial", "shard", "packed", "product"};
    *this << names[int(p.k)];
    if (p.d) *this << "<" << p.d->name << ">";
    return *this;
  }
  constexpr std::string_view view() const { return {p_, n_}; }
};

/// One fact: a word ("fed", "needs"), a placement, and the layer it comes from ("" if none).
struct fact { const char* word; placement p; const char* from; };

[[noreturn, gnu::noinline, gnu::cold]] inline void refuse(code c, std::string_view where, const fact* f, int n, int axis = 0) {
  text_line t;
  t << "at " << where;
  for (int i = 0; i < n; ++i) {
    t << (i == 0 || f[i].word[0] != 'f' ? ", " : " and ") << f[i].word << " " << f[i].p;
    if (axis) t << " on " << axis_names[axis];
    if (f[i].from && *f[i].from) t << " from " << f[i].from;
  }
  throw error(c, t.view());
}

/// Every two operands have one extent for a dimension that both carry. The compiler compares names; numbers that a program passes are
/// compared here. @error SP109 with the dimension and both numbers.
[[gnu::noinline]] inline void require_one_extent(std::string_view where, std::initializer_list<extents> all) {
  for (auto a = all.begin(); a != all.end(); ++a)
    for (auto b = a + 1; b != all.end(); ++b)
      for (int i = 0; i < a->rank; ++i)
        for (int k = 0; k < b->rank; ++k) {
          if (base_of(a->d[i]) != base_of(b->d[k]) || a->n[i] == b->n[k]) continue;
          text_line t;
          t << "at " << where << ", " << base_of(a->d[i])->name << " = " << a->n[i] << " and " << b->n[k];
          throw error(code::dims_differ, t.view());
        }
}

}  // namespace shardproof
