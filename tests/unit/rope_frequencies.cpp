/// Rotary frequencies against figures of an independent computation (Python floats, the formulas of the papers and of transformers'
/// modeling_rope_utils); a head of 16 features, base 10000.
#include <cmath>
#include <vector>
#include <catch2/catch.hpp>
#include <shardproof/tensor/ops/rope_frequencies.hpp>
namespace sp = shardproof;

namespace {
bool gives(const sp::rotary& r, long length, const std::vector<double>& expected) {
  std::vector<double> f(8);
  sp::rotary_frequencies(r, 16, length, f.data());
  for (std::size_t j = 0; j < 8; ++j) {
    CAPTURE(j, f[j], expected[j]);
    if (!(std::abs(f[j] - expected[j]) <= 1e-12 * expected[j])) {
      CHECK(f[j] == expected[j]);
      return false;
    }
  }
  return true;
}
constexpr double one_and_more[] = {1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5}, one_and_less[] = {1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75};
}  // namespace

TEST_CASE("frequencies of the standard, linear and dynamic rotary embedding") {
  CHECK(sp::rotary{}.type == sp::rope_type::standard);
  CHECK((sp::rotary{}.factor == 1 && sp::rotary{}.partial == 1 && sp::rotary{}.base == 10000));
  CHECK(gives({}, 1000, {1.0, 0.31622776601683794, 0.1, 0.03162277660168379,
       0.01, 0.003162277660168379, 0.001, 0.00031622776601683794}));
  CHECK(gives({.type = sp::rope_type::linear, .factor = 4}, 1000, {0.25, 0.07905694150420949, 0.025, 0.007905694150420948,
       0.0025, 0.0007905694150420947, 0.00025, 7.905694150420948e-05}));
  const sp::rotary ntk{.type = sp::rope_type::dynamic_ntk, .factor = 2, .original_length = 64};
  CHECK(gives(ntk, 96, {1.0, 0.2864149709787598, 0.08203353560076379, 0.023495632718377818,
       0.006729500963161781, 0.0019274298230655173, 0.0005520447568369062, 0.00015811388300841897}));
  CHECK(gives(ntk, 32, {1.0, 0.31622776601683794, 0.1, 0.03162277660168379,
       0.01, 0.003162277660168379, 0.001, 0.00031622776601683794}));                                        // a short sequence keeps the base
}
TEST_CASE("frequencies of llama3: kept, stretched, and between") {
  CHECK(gives({.type = sp::rope_type::llama3, .factor = 8, .low_freq = 1, .high_freq = 4, .original_length = 256}, 1000, {1.0, 0.31622776601683794, 0.1, 0.0066131063172475526,
       0.00125, 0.00039528470752104737, 0.000125, 3.952847075210474e-05}));
}
TEST_CASE("frequencies of yarn, whole correction dimensions or not, clamped at both ends") {
  CHECK(gives({.type = sp::rope_type::yarn, .factor = 4, .original_length = 4096}, 1000, {1.0, 0.31622776601683794, 0.1, 0.02569350598886808,
       0.00625, 0.0013834964763236657, 0.00025, 7.905694150420948e-05}));
  CHECK(gives({.type = sp::rope_type::yarn, .factor = 4, .original_length = 4096, .truncate = false}, 1000, {1.0, 0.31622776601683794, 0.1, 0.02861360881198889,
       0.006556971521129435, 0.0012856320307266878, 0.00025, 7.905694150420948e-05}));
  CHECK(gives({.type = sp::rope_type::yarn, .factor = 4, .original_length = 64}, 1000, {1.0, 0.23717082451262847, 0.05, 0.007905694150420948,
       0.0025, 0.0007905694150420947, 0.00025, 7.905694150420948e-05}));
  // With one number of turns for both ends the ramp is a step, between the pairs 3 and 4 here.
  CHECK(gives({.type = sp::rope_type::yarn, .factor = 4, .original_length = 4096, .beta_fast = 8, .beta_slow = 8, .truncate = false}, 1000,
              {1.0, 0.31622776601683794, 0.1, 0.03162277660168379, 0.0025, 0.00079056941504209475, 0.00025, 7.9056941504209485e-05}));
}
TEST_CASE("longrope has one factor a pair, by the length in use") {
  const sp::rotary r{.type = sp::rope_type::longrope, .factor = 4, .original_length = 64, .short_factor = one_and_less, .long_factor = one_and_more};
  CHECK(gives(r, 65, {1.0, 0.21081851067789195, 0.05, 0.012649110640673516,
       0.0033333333333333335, 0.0009035079029052511, 0.00025, 7.027283689263066e-05}));
  CHECK(gives(r, 64, {1.0, 0.25298221281347033, 0.06666666666666667, 0.018070158058105024,
       0.005, 0.0014054567378526128, 0.0004, 0.00011499191491521379}));
}
TEST_CASE("what cos and sin are multiplied by") {
  CHECK(sp::rotary_attention_factor({}) == 1);
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::linear, .factor = 4}) == 1);
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::yarn, .factor = 4}) == Approx(1.138629436111989).epsilon(1e-12));
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::yarn, .factor = 4, .mscale = 0.7, .mscale_all_dim = 0.3}) == Approx(1.0532376815143234).epsilon(1e-12));
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::yarn, .factor = 4, .mscale = 0.7}) == Approx(1.138629436111989).epsilon(1e-12));
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::yarn, .factor = 1}) == 1);
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::longrope, .factor = 4, .original_length = 64}) == Approx(1.1547005383792517).epsilon(1e-12));
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::longrope, .factor = 1, .original_length = 64}) == 1);
  CHECK(sp::rotary_attention_factor({.type = sp::rope_type::yarn, .factor = 4, .attention_factor = 1.25}) == 1.25);
}
TEST_CASE("a part of a head may turn") {
  CHECK(sp::rotated_features({.partial = 0.25}, 16) == 4);
  CHECK(sp::rotary_extent({.partial = 0.25}, 12) == 3);                    // an odd share: one pair more, over the same extent
  CHECK(sp::rotated_features({.partial = 0.25}, 12) == 4);
  double odd[2];
  sp::rotary_frequencies({.base = 1000, .partial = 0.25}, 12, 10, odd);
  CHECK(odd[0] == 1);
  CHECK(odd[1] == Approx(0.01).epsilon(1e-12));                            // 1000^(-2/3)
  std::vector<double> f(2);
  sp::rotary_frequencies({.partial = 0.25}, 16, 10, f.data());
  CHECK(f[0] == 1);
  CHECK(f[1] == Approx(0.01).epsilon(1e-12));
}
