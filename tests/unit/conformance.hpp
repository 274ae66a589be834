#pragma once
/// @file
/// For suites that any backend must pass: tensors in a device's memory, seen from here as doubles, and how far results are off.
///
///     for (sp::backend* b : devices()) {
///       const on_device x(*b, sp::dtype::f32, {3, 5}, noise(15, 1)), y(*b, sp::dtype::f32, {3, 5});
///       b->apply(sp::unary::silu, y.v, x.v, 0);
///       CHECK(off(y.values(), expected) < 1e-6);
///     }
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/runtime/backend.hpp>

namespace conformance {
namespace sp = shardproof;
using numbers = std::vector<double>;

/// Every backend linked into this program whose device exists here.
inline std::vector<sp::backend*> devices() {
  std::vector<sp::backend*> found;
  for (sp::backend* b : sp::detail::registered_backends) {
    if (!b) continue;
    try {
      b->release(b->allocate(64), 64);
      found.push_back(b);
    } catch (const sp::error& e) {
      if (e.which() != sp::code::no_device) throw;
    }
  }
  REQUIRE_FALSE(found.empty());
  return found;
}

/// n values in [-1, 1), the same for the same seed.
inline numbers noise(long n, unsigned seed) {
  std::mt19937 random(seed);
  numbers x(static_cast<std::size_t>(n));
  for (double& v : x) v = double(random()) / 2147483648.0 - 1;
  return x;
}

template <class T> T stored_as(double x) {
  if constexpr (std::is_same_v<T, sp::bf16> || std::is_same_v<T, sp::f16>) return T(float(x));
  else return static_cast<T>(x);
}

/// A tensor in a device's memory.
class on_device {
  sp::backend* device_;

 public:
  sp::view v;
  on_device(sp::backend& b, sp::dtype t, const sp::shape& s) : device_(&b) {
    v = {nullptr, t, s};
    v.p = b.allocate(v.bytes());
    b.fill(v, 0);
  }
  on_device(sp::backend& b, sp::dtype t, const sp::shape& s, const numbers& values) : on_device(b, t, s) { set(values); }
  on_device(const on_device&) = delete;
  on_device& operator=(const on_device&) = delete;
  ~on_device() {
    device_->synchronize();
    device_->release(v.p, v.bytes());
  }
  void set(const numbers& values) const {
    REQUIRE(long(values.size()) == v.count());
    sp::visit(v.type, [&](auto zero) {
      using T = decltype(zero);
      std::vector<T> host(values.size());
      std::transform(values.begin(), values.end(), host.begin(), [](double x) { return stored_as<T>(x); });
      device_->from_host(v, host.data());
      device_->synchronize();
    });
  }
  /// What is stored, after the rounding of its type.
  numbers values() const {
    numbers out(static_cast<std::size_t>(v.count()));
    sp::visit(v.type, [&](auto zero) {
      using T = decltype(zero);
      std::vector<T> host(out.size());
      device_->to_host(host.data(), v);
      device_->synchronize();
      std::transform(host.begin(), host.end(), out.begin(), [](T x) { return static_cast<double>(x); });
    });
    return out;
  }
};

/// The largest |a - b| / (1 + |b|); infinity if a value is NaN on one side only, or the sizes differ.
inline double off(const numbers& a, const numbers& b) {
  constexpr double never = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return never;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double d = std::fabs(a[i] - b[i]) / (1 + std::fabs(b[i]));
    if (!(d < never)) return never;
    worst = std::max(worst, d);
  }
  return worst;
}
/// The same relative to the value itself; what is below 1e-30 counts as zero.
inline double off_relatively(const numbers& a, const numbers& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const double d = std::fabs(a[i] - b[i]) / std::max(std::fabs(b[i]), 1e-30);
    if (!(d < std::numeric_limits<double>::infinity())) return d;
    worst = std::max(worst, d);
  }
  return worst;
}

inline numbers operator*(double k, numbers x) {
  for (double& v : x) v *= k;
  return x;
}
inline double dot(const numbers& a, const numbers& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

/// How far `gradient` is from the slope of `value()` in each element of x (f64), by central differences.
template <class F> double gradient_off(const on_device& x, const numbers& gradient, F value) {
  const numbers start = x.values();
  numbers slopes = start;
  for (std::size_t i = 0; i < start.size(); ++i) {
    constexpr double step = 1e-5;
    numbers moved = start;
    moved[i] = start[i] + step;
    x.set(moved);
    const double up = value();
    moved[i] = start[i] - step;
    x.set(moved);
    slopes[i] = (up - value()) / (2 * step);
  }
  x.set(start);
  return off(gradient, slopes);
}

/// What results in a type may be off by, rounding of a few hundred terms included.
inline double tolerance(sp::dtype t) { return t == sp::dtype::f64 ? 1e-12 : 1e-5; }
inline const sp::dtype compute_types[] = {sp::dtype::f32, sp::dtype::f64};
inline const sp::dtype float_types[] = {sp::dtype::f32, sp::dtype::f64, sp::dtype::bf16, sp::dtype::f16};
}  // namespace conformance
