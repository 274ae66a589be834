// model/bind.hpp: a plan read at start-up meets the layers of a model.
#include <catch2/catch.hpp>
#include <shardproof/shardproof.hpp>
namespace {
struct vocab : sp::dim<29> {};
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
template <class At> struct block {
  SP_LAYER(norm, sp::rms_norm<hidden>);
  SP_LAYER(up_proj, sp::linear<hidden, ffn>);
  SP_LAYER(down_proj, sp::linear<ffn, hidden, sp::with_bias>);
  constexpr auto forward(const auto& x) const { return x + down_proj(sp::silu(up_proj(norm(x)))); }
};
template <class At> struct net {
  SP_LAYER(table, sp::embedding<vocab, hidden>);
  SP_LAYER(layers, sp::stack<block, 3>);
  SP_LAYER(head, sp::linear<hidden, vocab>);
  constexpr auto forward(const auto& ids, auto&&) const { return head(layers(table(ids))); }
};
inline constexpr sp::run_time_plan<> at_start_up;

std::vector<std::string> notes(const char* text) {
  net<sp::at<at_start_up>> m;
  return sp::bind(m, sp::parse_plan(text), 2).notes;
}
std::string refusal(const char* text, int ranks = 2) {
  net<sp::at<at_start_up>> m;
  try { sp::bind(m, sp::parse_plan(text), ranks); } catch (const sp::error& e) { return e.what(); }
  return "no error";
}
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
}  // namespace

TEST_CASE("a layer that no rule names is noted, once for a whole stack; a norm never is") {
  const auto all = notes("{}");
  REQUIRE(all.size() == 4);
  CHECK_THAT(all[0], Contains("SP201") && EndsWith("[Layer=table]"));
  CHECK_THAT(all[1], EndsWith("[Layer=layers.*.up_proj]"));
  CHECK_THAT(all[2], EndsWith("[Layer=layers.*.down_proj]"));
  CHECK_THAT(all[3], EndsWith("[Layer=head]"));
}

TEST_CASE("where a rule names some layers of a stack, the others are noted by their numbers") {
  const auto some = notes(R"({"table": "replicated", "head": "colwise_gather_output", "layers.1.up_proj": "colwise_gather_output",
                              "layers.*.down_proj": "rowwise_split_input"})");
  REQUIRE(some.size() == 2);
  CHECK_THAT(some[0], EndsWith("[Layer=layers.0.up_proj]"));
  CHECK_THAT(some[1], EndsWith("[Layer=layers.2.up_proj]"));
}

TEST_CASE("rules that do not fit the layers are refused") {
  CHECK_THAT(refusal(R"({"layers.*.upproj": "colwise"})"), Contains("SP202") && Contains("layers.*.upproj") && Contains("nearest layer layers.0.up_proj"));
  CHECK_THAT(refusal(R"({"layers.3.up_proj": "colwise"})"), Contains("SP202"));                       // there are three layers
  CHECK_THAT(refusal(R"({"layers.*.up_proj": "colwise", "layers.2.up_proj": "replicated"})"),
             Contains("SP203") && Contains("layers.2.up_proj") && Contains("First=\"layers.*.up_proj\"") && Contains("Second=\"layers.2.up_proj\""));
  CHECK_THAT(refusal(R"({"table": "rowwise"})"), Contains("SP204") && Contains("at table, Style=rowwise") && Contains("embedding_rowwise"));
  CHECK_THAT(refusal(R"({"layers.*.norm": "colwise"})"), Contains("SP204") && Contains("Applicable=replicated"));
}
