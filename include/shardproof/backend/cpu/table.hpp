#pragma once
/// @file
/// Embedding tables cut by rows: a rank gives and takes only the rows it holds.
///
///     cpu::gather_rows(y, table, ids, first);               // y[r] = table[ids[r] - first], or zero
#include <shardproof/backend/cpu/operand.hpp>
namespace shardproof::cpu {

inline long first_outside(const view& ids, long from, long to) {
  const auto* id = static_cast<const std::int64_t*>(ids.p);
  for (long i = 0, n = ids.count(); i < n; ++i) if (id[i] < from || id[i] >= to) return i;
  return -1;
}
inline void gather_rows(const view& y, const view& table, const view& ids, long first) {
  const long rows = ids.count(), held = table.s[0], width = table.s[1];
  const auto* const id = ids.as<const std::int64_t>();
  visit_float(y.type, [&](auto to) {
    using T = decltype(to);
    visit_real(table.type, [&](auto from) {
      for (long r = 0; r < rows; ++r) {
        T* const row = y.as<T>() + r * width;
        const long i = long(id[r]) - first;
        if (i < 0 || i >= held) std::fill_n(row, width, T(0));
        else convert(row, table.as<const decltype(from)>() + i * width, width);
      }
    });
  });
}

inline void scatter_rows(const view& dtable, const view& dy, const view& ids, long first, long padding) {
  const long rows = ids.count(), held = dtable.s[0], width = dtable.s[1];
  const auto* const id = ids.as<const std::int64_t>();
  visit_float(dtable.type, [&](auto zero) {
    using T = decltype(zero);
    const operand<T> from(dy);
    for (long r = 0; r < rows; ++r) {
      const long i = long(id[r]) - first;
      if (i < 0 || i >= held || (padding >= 0 && long(id[r]) == padding)) continue;
      T* const row = dtable.as<T>() + i * width;
      map<T>(row, width, [](const vec<T>& u, const vec<T>& v) -> vec<T> { return u + v; }, row, from.p + r * width);
    }
  });
}

}  // namespace shardproof::cpu
