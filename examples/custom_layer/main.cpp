/// @file
/// Layer kinds of one's own: a LoRA-linear and an int8-linear. They name the role of every parameter's dimensions, and any style
/// that cuts that role shards them rightly: colwise, rowwise, and the rest.
///
///     ./custom_layer             # prints the largest difference from one device, exits 1 if it is more than rounding
#include "../compare.hpp"

struct batch : sp::dim<> {};
struct hidden : sp::dim<8> {};
struct ffn : sp::dim<13> {};                                             // uneven on two and four ranks
struct adapter : sp::dim<3> {};

//! [lora]
/// y = W x + 2 B A x; Hu et al., arXiv 2106.09685. `Rank` has no role, so no style cuts it.
template <class In, class Out, class Rank> struct lora_linear : sp::layer_kind<lora_linear<In, Out, Rank>> {
  using in = sp::as_dims<In>;
  using out = sp::as_dims<Out>;
  template <class At> struct parameters {
    SP_PARAM(weight, sp::roled<sp::out, Out>, sp::roled<sp::in, In>);
    SP_PARAM(lora_A, Rank, sp::roled<sp::in, In>);
    SP_PARAM(lora_B, sp::roled<sp::out, Out>, Rank);
  };
  template <class Where> static constexpr auto call(const auto& x, const auto& w, const auto& a, const auto& b) {
    auto low = sp::contract<Where, in, sp::dims<Rank>>(x, a);
    return sp::contract<Where, in, out>(x, w) + 2.0 * sp::contract<Where, sp::dims<Rank>, out>(low, b);
  }
};
//! [lora]

//! [int8]
/// y = (W x) * scales, a scale for every output row. The weight is a buffer of whole numbers (here in a floating type): saved and
/// loaded, without a gradient.
template <class In, class Out> struct int8_linear : sp::layer_kind<int8_linear<In, Out>> {
  using in = sp::as_dims<In>;
  using out = sp::as_dims<Out>;
  template <class At> struct parameters {
    SP_BUFFER(weight, sp::roled<sp::out, Out>, sp::roled<sp::in, In>);
    SP_PARAM(scales, sp::roled<sp::out, Out>);
  };
  template <class Where> static constexpr auto call(const auto& x, const auto& w, const auto& s) {
    return sp::contract<Where, in, out>(x, w) * sp::bare(s);
  }
};
//! [int8]

template <class At> struct net {
  SP_LAYER(lora_up, lora_linear<hidden, ffn, adapter>);                  // colwise
  SP_LAYER(lora_down, lora_linear<ffn, hidden, adapter>);                // rowwise
  SP_LAYER(int8_up, int8_linear<hidden, ffn>);
  SP_LAYER(int8_down, int8_linear<ffn, hidden>);
  SP_LAYER(square, lora_linear<hidden, hidden, adapter>);                // one name in both roles
  constexpr auto forward(const auto& x) const {
    auto h = x + lora_down(sp::silu(lora_up(x)));
    auto z = h + int8_down(sp::silu(int8_up(h)));
    return square(z);
  }
};

//! [plan]
inline constexpr sp::plan plan{sp::colwise{"lora_up", "int8_up"}, sp::rowwise{"lora_down", "int8_down"},
                               sp::rowwise_split_input{"square"}};
// up: W and B cut, A whole; down: W and A cut, B whole; scales go with the output rows.
using planned = net<sp::at<plan>>;
static_assert(std::is_same_v<decltype(planned::lora_up.lora_B)::placement_type, sp::shard<sp::out<ffn>>>);
static_assert(std::is_same_v<decltype(planned::lora_down.lora_A)::placement_type, sp::shard<sp::in<ffn>>>);
static_assert(std::is_same_v<decltype(planned::int8_up.scales)::placement_type, sp::shard<sp::out<ffn>>>);
static_assert(std::is_same_v<decltype(planned::int8_down.scales)::placement_type, sp::invariant>);
//! [plan]

inline constexpr sp::run_time_plan<> at_start_up;
inline constexpr auto json = R"({"lora_up": "colwise", "int8_up": "colwise", "lora_down": "rowwise", "int8_down": "rowwise",
                                 "square": "rowwise_split_input"})";

int main() {
  const sp::sizes_of<sp::dims<batch, hidden>> sizes{5, 8};
  //! [frozen]
  const auto only_adapters = [](auto& model) {  // the base weights keep their values and cost no gradient
    model.lora_up.weight.frozen = model.lora_down.weight.frozen = model.square.weight.frozen = true;
  };
  //! [frozen]
  bool right = true;
  for (const bool frozen : {false, true}) {
    const auto prepare = [&](auto& model) { if (frozen) only_adapters(model); };
    const auto one = everything<planned>(1, sizes, prepare);
    for (const int ranks : {1, 2, 4}) {
      right &= same_as_one_device(frozen ? "constexpr plan, adapters" : "constexpr plan", ranks, one,
                                  everything<planned>(ranks, sizes, prepare));
      right &= same_as_one_device(frozen ? "run-time plan, adapters" : "run-time plan", ranks, one,
                                  everything<net<sp::at<at_start_up>>>(ranks, sizes, [&](auto& model) {
                                    sp::bind(model, sp::parse_plan(json));
                                    prepare(model);
                                  }));
    }
  }
  return right ? 0 : 1;
}
