/// @file
/// A parallel style of one's own, in a constexpr plan, in a JSON text read while compiling, and in one read at start-up.
///
///     ./custom_style             # prints the largest difference from one device, exits 1 if it is more than rounding
///
/// Multi-head latent attention compresses keys and values into a latent part, which a norm and a column-parallel layer expand,
/// and a rotary part, which every head uses as it is. The norm's input must stay Invariant, since its gradient must be whole on every
/// rank; the rotary part meets sharded heads, so its gradient must be summed over the ranks.
#include "../compare.hpp"
#include <shardproof/tensor/operation.hpp>

struct batch : sp::dim<> {};
struct hidden : sp::dim<12> {};
struct latent : sp::dim<7> {};
struct rotary : sp::dim<6> {};
struct heads : sp::dim<8, sp::units> {};

//! [style]
/// Its output [latent | rotary] lies as [Invariant | Replicate]; a split takes the parts apart.
struct latent_and_key : sp::style_defaults {
  static constexpr auto name = "latent_and_key";
  template <class Kind> static constexpr bool applies = sp::info<sp::last_of<typename Kind::out>>.parts == 2;
  template <class Site> using fed = sp::invariant;
  static constexpr auto after(const auto& y, const auto& bias) { return sp::to_product<sp::invariant, sp::replicate>(y + bias); }
};
//! [style]

/// q (batch, heads, rotary) times r (batch, rotary), the same for every head.
struct times_every_head : sp::operation<times_every_head> {
  static constexpr double flops = 1;
  static constexpr sp::outcome rule(sp::placement q, sp::placement r) {
    return sp::rules::multiply(q, r, true, q.d != &sp::info<heads>);
  }
  static void each(auto q, auto f) {
    for (long i = 0; i < q.count(); ++i) f(i, i / (q.s[1] * q.s[2]) * q.s[2] + i % q.s[2]);
  }
  static void compute(auto y, auto q, auto r) { each(q, [&](long i, long j) { y[i] = q[i] * r[j]; }); }
  static void pull(auto dy, auto, auto q, auto r, auto dq, auto dr) {
    each(q, [&](long i, long j) { dq[i] += dy[i] * r[j]; dr[j] += dy[i] * q[i]; });
  }
};

//! [model]
template <class At> struct latent_attention {
  SP_LAYER(q_proj, sp::linear<hidden, sp::dims<heads, rotary>>);
  SP_LAYER(kv_a_proj, sp::linear<hidden, sp::fused<latent, rotary>, sp::with_bias>);
  SP_LAYER(kv_a_norm, sp::rms_norm<latent>);
  SP_LAYER(kv_b_proj, sp::linear<latent, sp::dims<heads, rotary>>);
  SP_LAYER(o_proj, sp::linear<sp::dims<heads, rotary>, hidden>);
  constexpr auto forward(const auto& x) const {
    auto q = q_proj(x);                                    // (batch, heads / tp, rotary)
    auto [compressed, rotated] = sp::split(kv_a_proj(x));  // (batch, latent) Invariant, (batch, rotary) Replicate
    auto kv = kv_b_proj(kv_a_norm(compressed));            // (batch, heads / tp, rotary)
    return o_proj(sp::call(times_every_head{}, q, rotated) + kv);
  }
};
//! [model]

static_assert(sp::suits<latent_and_key, sp::linear<hidden, sp::fused<latent, rotary>>>());
static_assert(!sp::suits<latent_and_key, sp::rms_norm<latent>>());       // SP204 under either kind of plan

//! [plans]
inline constexpr sp::plan plan{latent_and_key{"kv_a_proj"}, sp::colwise{"q_proj", "kv_b_proj"}, sp::rowwise{"o_proj"}};

inline constexpr auto json =
    R"({"kv_a_proj": "latent_and_key", "q_proj": "colwise", "kv_b_proj": "colwise", "o_proj": "rowwise"})";
inline constexpr auto read_while_compiling = sp::parse_plan<latent_and_key>(json);
inline constexpr sp::run_time_plan<latent_and_key> read_at_start_up;  // sp::bind(model, sp::parse_plan<latent_and_key>(json))

static_assert(sp::covers<latent_attention, plan>() && sp::covers<latent_attention, read_while_compiling>());
//! [plans]

int main() {
  const sp::sizes_of<sp::dims<batch, hidden>> sizes{5, 12};
  const auto one = everything<latent_attention<sp::at<plan>>>(1, sizes);
  bool right = true;
  for (const int ranks : {1, 2, 4}) {
    right &= same_as_one_device("constexpr plan", ranks, one, everything<latent_attention<sp::at<plan>>>(ranks, sizes));
    right &= same_as_one_device("JSON read while compiling", ranks, one,
                                everything<latent_attention<sp::at<read_while_compiling>>>(ranks, sizes));
    right &= same_as_one_device("JSON read at start-up", ranks, one,
                                everything<latent_attention<sp::at<read_at_start_up>>>(
                                    ranks, sizes, [](auto& model) { sp::bind(model, sp::parse_plan<latent_and_key>(json)); }));
  }
  return right ? 0 : 1;
}
