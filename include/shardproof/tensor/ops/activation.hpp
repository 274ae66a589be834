#pragma once
/// @file
/// Elementwise functions. All are nonlinear: a Partial operand is SP103.
///
///     auto h = sp::silu(gate) * up;                        // SwiGLU: Shazeer, arXiv 2002.05202
///     auto a = sp::gelu(x);                                // exact, by erf; gelu_tanh is the approximation
///     auto s = sp::softcap(scores, 30.0);                  // 30 * tanh(x / 30)
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {
namespace operations {
template <unary F> struct activation {
  double p = 0;
  static constexpr outcome rule(placement x) { return rules::nonlinear(x); }
  constexpr void charge(bill& b) const { b.flops(8, 8); }
  ref run(const shape&, const auto& x) const { return erased::apply_unary(x.at, F, p); }
};
struct silu : activation<unary::silu> {};
struct gelu : activation<unary::gelu> {};
struct gelu_tanh : activation<unary::gelu_tanh> {};
struct relu : activation<unary::relu> {};
struct squared_relu : activation<unary::squared_relu> {};
struct sigmoid : activation<unary::sigmoid> {};
struct tanh : activation<unary::tanh> {};
struct softcap : activation<unary::softcap> {};
struct exp : activation<unary::exp> {};
struct rsqrt : activation<unary::rsqrt> {};
struct at_most : activation<unary::at_most> {};
struct clamp : activation<unary::clamp> {};
template <class Op, class X> constexpr auto elementwise(const Op& o, const X& x) { return apply<free_operation<Op>, dims_in<X>>::op(o, x.sizes, x); }
}  // namespace operations

template <tensor_like X> constexpr auto silu(const X& x) { return operations::elementwise(operations::silu{}, x); }
template <tensor_like X> constexpr auto gelu(const X& x) { return operations::elementwise(operations::gelu{}, x); }
template <tensor_like X> constexpr auto gelu_tanh(const X& x) { return operations::elementwise(operations::gelu_tanh{}, x); }
template <tensor_like X> constexpr auto relu(const X& x) { return operations::elementwise(operations::relu{}, x); }
template <tensor_like X> constexpr auto squared_relu(const X& x) { return operations::elementwise(operations::squared_relu{}, x); }
template <tensor_like X> constexpr auto sigmoid(const X& x) { return operations::elementwise(operations::sigmoid{}, x); }
template <tensor_like X> constexpr auto tanh(const X& x) { return operations::elementwise(operations::tanh{}, x); }
template <tensor_like X> constexpr auto exp(const X& x) { return operations::elementwise(operations::exp{}, x); }
/// cap * tanh(x / cap).
template <tensor_like X> constexpr auto softcap(const X& x, double cap) { return operations::elementwise(operations::softcap{{cap}}, x); }
/// 1 / sqrt(x + eps).
template <tensor_like X> constexpr auto rsqrt(const X& x, double eps = 0) { return operations::elementwise(operations::rsqrt{{eps}}, x); }
/// min(x, limit), and x between -limit and limit; the slope at the limit is 1, as torch's.
template <tensor_like X> constexpr auto at_most(const X& x, double limit) { return operations::elementwise(operations::at_most{{limit}}, x); }
template <tensor_like X> constexpr auto clamp(const X& x, double limit) { return operations::elementwise(operations::clamp{{limit}}, x); }

/// An activation chosen by a configuration: a value, so that alternatives share one type.
enum class activation_kind : unsigned char { silu, gelu, gelu_tanh, relu, squared_relu, sigmoid, tanh, linear, gelu_10, quick_gelu, relu6, leaky_relu, hardswish, mish };
namespace erased {
inline ref relu6(const ref& x) { return apply_unary(apply_unary(x, unary::relu, 0), unary::at_most, 6); }
/// Those without a kernel of their own, made of others.
inline ref composed_activation(activation_kind f, const ref& x) {
  switch (f) {
    case activation_kind::gelu_10: return apply_unary(apply_unary(x, unary::gelu, 0), unary::clamp, 10);
    case activation_kind::quick_gelu: return apply_unary(apply_unary(apply_unary(x, unary::scale, 1.702), unary::silu, 0), unary::scale, 1 / 1.702);       // x sigmoid(1.702 x)
    case activation_kind::relu6: return relu6(x);
    case activation_kind::leaky_relu: return add(apply_unary(x, unary::relu, 0), apply_unary(apply_unary(apply_unary(x, unary::scale, -1), unary::relu, 0), unary::scale, -0.01));
    case activation_kind::hardswish: return multiply(x, apply_unary(relu6(apply_unary(x, unary::shift, 3)), unary::scale, 1.0 / 6));
    case activation_kind::mish: {                      // x tanh(log(1 + e^x)) = x w / (w + 2) with w = e^x (e^x + 2); above 20 the fraction is 1
      const ref u = apply_unary(apply_unary(x, unary::at_most, 20), unary::exp, 0), w = multiply(u, apply_unary(u, unary::shift, 2)), r = apply_unary(w, unary::rsqrt, 2);
      return multiply(x, multiply(w, multiply(r, r)));
    }
    default: return widened(x);                        // linear
  }
}
}  // namespace erased
namespace operations {
struct chosen_activation {
  activation_kind which;
  static constexpr outcome rule(placement x) { return rules::nonlinear(x); }
  constexpr void charge(bill& b) const { b.flops(8, 8); }
  ref run(const shape&, const auto& x) const {
    constexpr unary f[] = {unary::silu, unary::gelu, unary::gelu_tanh, unary::relu, unary::squared_relu, unary::sigmoid, unary::tanh};
    if (which > activation_kind::tanh) return erased::composed_activation(which, x.at);
    return erased::apply_unary(x.at, f[int(which)], 0);
  }
};
}  // namespace operations
template <tensor_like X> constexpr auto activate(activation_kind f, const X& x) { return operations::elementwise(operations::chosen_activation{f}, x); }

}  // namespace shardproof
