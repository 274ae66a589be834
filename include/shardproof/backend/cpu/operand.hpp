#pragma once
/// @file
/// Reads a view in the type of the arithmetic, whatever it is stored in.
///
///     const operand<float> w(args.w);        // the view's own memory if it is f32, else a converted copy for this scope
///     y[i] = x[i] * w.p[i];
#include <optional>
#include <shardproof/backend/cpu/memory.hpp>
#include <shardproof/backend/cpu/vector.hpp>
#include <shardproof/runtime/shape.hpp>
namespace shardproof::cpu {

/// y[i] = x[i] of another floating type.
template <class T, class U> void convert(T* y, const U* x, long n) {
  if constexpr (std::is_same_v<T, float>) map<float>(y, n, [](const vec<float>& v) { return v; }, x);
  else for (long i = 0; i < n; ++i) y[i] = T(x[i]);
}
template <> inline void convert<float, double>(float* y, const double* x, long n) {
  for (long i = 0; i < n; ++i) y[i] = float(x[i]);
}

inline void to_bf16(bf16* y, const float* x, long n) {
  long i = 0;
  for (; i + lanes<float> <= n; i += lanes<float>) store_bf16(y + i, load<float>(x + i));
  for (; i < n; ++i) y[i] = bf16(x[i]);
}

/// The values of a floating view as T. Null stays null.
template <class T> class operand {
  std::optional<scratch<T>> copy_;

 public:
  const T* p = nullptr;
  explicit operand(const view& v) {
    if (!v) return;
    if (sizeof(T) == bytes_of(v.type)) {
      p = v.as<const T>();
      return;
    }
    const long n = v.count();
    copy_.emplace(n);
    visit_real(v.type, [&](auto zero) { convert(copy_->get(), v.as<const decltype(zero)>(), n); });
    p = copy_->get();
  }
};

}  // namespace shardproof::cpu
