// tensor/ops/activation.hpp: each name is its formula; that they are nonlinear, and their gradients, is checked by equivalence/laws.
#include <cmath>
#include <numbers>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
namespace {
struct points : sp::dim<> {};
const std::vector<double> at{-7.5, -2, -1, -0.3, 0, 0.4, 1, 2.5, 9, 40};

template <class F, class G> void is(const char* name, F function, G formula) {
  INFO(name);
  sp::run(1, [&] {
    const auto y = sp::values(function(sp::whole(sp::sizes_of<sp::dims<points>>{long(at.size())}, at)));
    REQUIRE(y.size() == at.size());
    for (std::size_t i = 0; i < at.size(); ++i) CHECK(y[i] == Approx(formula(at[i])).epsilon(1e-12).margin(1e-14));
  });
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x * sigmoid(x); }
double gelu(double x) { return x / 2 * (1 + std::erf(x / std::numbers::sqrt2)); }
double gelu_tanh(double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))); }
double relu(double x) { return std::max(x, 0.0); }
double squared_relu(double x) { return relu(x) * relu(x); }
}  // namespace

TEST_CASE("each activation is its formula, by its name and by its kind") {
#define ACTIVATION(f)                                                                      \
  is(#f, [](const auto& x) { return sp::f(x); }, [](double x) { return f(x); });           \
  is("activate " #f, [](const auto& x) { return sp::activate(sp::activation_kind::f, x); }, [](double x) { return f(x); })
  ACTIVATION(silu);
  ACTIVATION(gelu);
  ACTIVATION(gelu_tanh);
  ACTIVATION(relu);
  ACTIVATION(squared_relu);
  ACTIVATION(sigmoid);
#undef ACTIVATION
  is("tanh", [](const auto& x) { return sp::tanh(x); }, [](double x) { return std::tanh(x); });
  is("activate tanh", [](const auto& x) { return sp::activate(sp::activation_kind::tanh, x); }, [](double x) { return std::tanh(x); });
#define KIND(f, formula) is("activate " #f, [](const auto& x) { return sp::activate(sp::activation_kind::f, x); }, [](double x) { return formula; })
  KIND(linear, x);
  KIND(gelu_10, std::min(gelu(x), 10.0));
  KIND(quick_gelu, x * sigmoid(1.702 * x));
  KIND(relu6, std::min(relu(x), 6.0));
  KIND(leaky_relu, x < 0 ? 0.01 * x : x);
  KIND(hardswish, x * std::min(relu(x + 3), 6.0) / 6);
  KIND(mish, x * std::tanh(std::log1p(std::exp(x))));
#undef KIND
  is("exp", [](const auto& x) { return sp::exp(x); }, [](double x) { return std::exp(x); });
  is("softcap", [](const auto& x) { return sp::softcap(x, 3.0); }, [](double x) { return 3 * std::tanh(x / 3); });
}
