#pragma once
/// @file
/// Shared by the examples: everything a small model computes, on any number of ranks, against one device.
///
///     bool right = same_as_one_device("constexpr plan", one, everything<net<sp::at<plan>>>(4, sizes));
#include <cmath>
#include <cstdio>
#include <string>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>

/// Runs model.forward(x) and its gradient on so many ranks, in f64; the result, dx and all parameters' gradients, whole, one
/// behind the other. `before` is called with the model first: it may bind a plan or freeze parameters.
template <class Model, class Sizes, class Before> std::vector<double> everything(int ranks, const Sizes& sizes, Before before) {
  std::vector<double> out;
  sp::run(ranks, [&] {
    const auto number = [](std::string_view name, long i) {
      return 2 * sp::uniform_at(1, sp::stream_of(name), std::uint64_t(i)) - 1;
    };
    Model model;
    before(model);
    // A buffer holds quantised values: whole numbers.
    for (const auto& p : sp::parameters(model))
      sp::detail::fill_parameter(p, sp::dtype::f64,
                                 [&](long i) { return p.buffer ? std::round(8 * number(p.name, i)) : number(p.name, i); });
    std::vector<double> values;
    for (long i = 0; i < sizes.count(); ++i) values.push_back(number("x", i));
    auto x = sp::whole(sizes, values);                                       // the same on every rank
    x.at->tracked = x.at->accumulates = true;
    auto y = model.forward(x);
    std::vector<double> all = sp::values(sp::full(y));
    sp::seed(y.at, 1);
    sp::pull_all(y.at);
    const auto append = [&](const std::vector<double>& v) { all.insert(all.end(), v.begin(), v.end()); };
    append(sp::gradient(x));
    const auto parameters = sp::parameters(model);
    sp::finish_gradients(parameters);
    for (const auto& p : parameters)
      if ((*p.at)->tracked) append(sp::gathered_gradient(p));
    if (sp::first_rank()) out = all;
  });
  return out;
}
template <class Model, class Sizes> std::vector<double> everything(int ranks, const Sizes& sizes) {
  return everything<Model>(ranks, sizes, [](auto&) {});
}

/// Prints the largest difference; false if it is more than rounding.
inline bool same_as_one_device(const char* what, int ranks, const std::vector<double>& one, const std::vector<double>& many) {
  double worst = one.size() == many.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < one.size() && i < many.size(); ++i)
    worst = std::fmax(worst, std::abs(one[i] - many[i]) / std::fmax(1, std::abs(one[i])));
  std::printf("%-28s %d rank%s %zu numbers, largest difference from one device %.1e\n", what, ranks,
              ranks == 1 ? ": " : "s:", one.size(), worst);
  return worst < 1e-12;
}
