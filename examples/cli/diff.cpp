/// @file
/// Compares two checkpoints or safetensors files tensor by tensor.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>
#include <shardproof/io/json_tree.hpp>
#include <shardproof/io/safetensors.hpp>
#include "options.hpp"

namespace cli {
namespace {

using sp::io::stored_tensor;

struct difference {
  std::string name, reason;
  double absolute = 0, relative = 0;  ///< the largest over the tensor
  long count = 0;                     ///< elements out of tolerance
  long elements = 0;
};

/// One pass over both tensors, as double.
difference compare(const stored_tensor& a, const stored_tensor& b, double rtol, double atol) {
  difference d{std::string(a.name()), "", 0, 0, 0, 0};
  const bool same_shape =
      std::equal(a.tensor->shape.begin(), a.tensor->shape.end(), b.tensor->shape.begin(), b.tensor->shape.end());
  if (!same_shape || a.tensor->type != b.tensor->type) {
    d.reason = sp::io::described(*a.tensor) + " against " + sp::io::described(*b.tensor);
    if (!same_shape) return d;
  }
  const auto ta = sp::io::dtype_of(a.tensor->type), tb = sp::io::dtype_of(b.tensor->type);
  if (!ta || !tb) {
    if (a.bytes() != b.bytes()) d.reason = "bytes differ";
    return d;
  }
  long n = 1;
  for (auto e : a.tensor->shape) n *= e;
  d.elements = n;
  const std::string raw_a(a.bytes()), raw_b(b.bytes());  // copies: the mapping is not aligned
  sp::visit(*ta, [&](auto za) {
    sp::visit(*tb, [&](auto zb) {
      const auto* x = reinterpret_cast<const decltype(za)*>(raw_a.data());
      const auto* y = reinterpret_cast<const decltype(zb)*>(raw_b.data());
      for (long i = 0; i < n; ++i) {
        const double u = double(x[i]), v = double(y[i]);
        if constexpr (std::is_integral_v<decltype(za)> && std::is_integral_v<decltype(zb)>) {         // beyond 2^53 doubles are too coarse
          if (std::cmp_equal(x[i], y[i])) continue;
        } else if (u == v || (std::isnan(u) && std::isnan(v))) continue;
        const bool finite = std::isfinite(u) && std::isfinite(v);
        const double diff = !finite ? INFINITY : u == v ? 1 : std::abs(u - v);
        const double relative = v != 0 ? diff / std::abs(v) : INFINITY;
        d.absolute = std::max(d.absolute, diff);
        d.relative = std::max(d.relative, relative);
        if (!finite || !(diff <= atol + rtol * std::abs(v))) ++d.count;
      }
    });
  });
  return d;
}

}  // namespace

answer diff(const common_options& common, const diff_options& o) {
  if (!(o.rtol >= 0) || !(o.atol >= 0))
    throw sp::error(sp::code::usage, "a tolerance is negative.", "pass --rtol and --atol of at least 0.");
  const sp::io::checkpoint_files a(o.a), b(o.b);
  std::vector<difference> found;
  long compared = 0;
  for (const auto& t : a.tensors()) {
    const auto* other = b.find(t.name());
    if (!other) {
      found.push_back({std::string(t.name()), "only in " + o.a, 0, 0, 0, 0});
      continue;
    }
    ++compared;
    difference d = compare(t, *other, o.rtol, o.atol);
    if (!d.reason.empty() || d.count) found.push_back(std::move(d));
  }
  for (const auto& t : b.tensors())
    if (!a.find(t.name())) found.push_back({std::string(t.name()), "only in " + o.b, 0, 0, 0, 0});
  std::stable_sort(found.begin(), found.end(), [](const difference& x, const difference& y) {
    return x.reason.empty() != y.reason.empty() ? !x.reason.empty() : x.absolute > y.absolute;
  });
  if (common.json) {
    auto out = sp::io::json_tree::object();
    out.set("equal", found.empty());
    out.set("compared", compared);
    auto list = sp::io::json_tree::array();
    for (const auto& d : found) {
      auto e = sp::io::json_tree::object();
      e.set("name", d.name);
      if (!d.reason.empty()) e.set("reason", d.reason);
      e.set("elements", d.elements);
      e.set("out_of_tolerance", d.count);
      e.set("largest_absolute", d.absolute);
      e.set("largest_relative", d.relative);
      list.push(std::move(e));
    }
    out.set("differences", std::move(list));
    std::printf("%s\n", out.pretty().c_str());
  } else if (found.empty()) {
    std::printf("equal: %ld tensors%s\n", compared, o.rtol || o.atol ? " within tolerance" : ", bit for bit in value");
  } else {
    std::printf("%zu of %zu tensors differ\n", found.size(), std::max<std::size_t>(a.tensors().size(), b.tensors().size()));
    for (std::size_t i = 0; i < found.size() && i < std::size_t(std::max(0, o.most)); ++i) {
      const auto& d = found[i];
      if (!d.reason.empty() && !d.elements) std::printf("  %s: %s\n", d.name.c_str(), d.reason.c_str());
      else
        std::printf("  %s: largest difference %.3g (relative %.3g), %ld of %ld elements out of tolerance%s%s\n", d.name.c_str(),
                    d.absolute, d.relative, d.count, d.elements, d.reason.empty() ? "" : "; ", d.reason.c_str());
    }
    if (found.size() > std::size_t(std::max(0, o.most)))
      std::printf("  ... and %zu more (--most)\n", found.size() - std::size_t(std::max(0, o.most)));
  }
  return found.empty() ? answer::done : answer::no;
}

}  // namespace cli
