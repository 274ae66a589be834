/// Plans read at start-up: what is wrong with the text is refused in one line that names the rule.
#include <string>
#include <catch2/catch.hpp>
#include <shardproof/types.hpp>

namespace {
std::string refusal(std::string_view text) {
  try {
    (void)sp::parse_plan(text);
  } catch (const sp::error& e) {
    return e.what();
  }
  return "";
}
using Catch::Contains;
using Catch::StartsWith;
}  // namespace

TEST_CASE("a plan that says nothing wrong is accepted") {
  CHECK(refusal("{}") == "");
  CHECK(refusal(R"({"layers.*.mlp.up_proj": "colwise", "?lm_head": "colwise_gather_output"})") == "");
  CHECK(sp::parse_plan(R"({"a": "colwise", "b": {"style": "rowwise"}})").count == 2);
  CHECK(sp::parse_plan(R"({"a": "colwise_rep"})").count == 1);                        // a name that older plans use
}
TEST_CASE("an unknown style is refused with its rule, the nearest name and all names") {
  CHECK_THAT(refusal(R"({"a": "colwise", "layers.*.o_proj": "rowise"})"),
             StartsWith("shardproof[SP205] unknown parallel style \"rowise\" for \"layers.*.o_proj\".") && Contains("did you mean \"rowwise\"?") &&
                 Contains("embedding_rowwise") && !Contains("\n"));
  CHECK_THAT(refusal(R"({"a": ""})"), StartsWith("shardproof[SP205] unknown parallel style \"\" for \"a\"."));
}
TEST_CASE("malformed patterns and texts are refused with the place") {
  CHECK_THAT(refusal(R"({"layers.*.q*": "colwise"})"), StartsWith("shardproof[SP206]") && Contains("layers.*.q*"));
  CHECK_THAT(refusal(R"({"layers..q": "colwise"})"), StartsWith("shardproof[SP206]") && Contains("layers..q"));
  CHECK_THAT(refusal(R"({"": "colwise"})"), StartsWith("shardproof[SP206]"));
  CHECK_THAT(refusal(R"({"layers.*.self_attn.": "colwise"})"), Contains("Pattern=\"layers.*.self_attn.\", Position=19"));
  CHECK_THAT(refusal(R"({"a": "colwise", "b": 3})"), Contains("[Fault=\"a style is a name in quotes\", Position=22]"));
  CHECK_THAT(refusal(R"({"a": "colwise" "b": 3})"), Contains("[Fault=\"',' or '}' is expected\", Position=16]"));
  for (const char* text : {"", "[]", "{", R"({"a")", R"({"a": 3})", R"({"a": ["colwise"]})", R"({"a": "colwise",})", R"({"a": "colwise"} x)", "null"}) {
    INFO(text);
    CHECK_THAT(refusal(text), StartsWith("shardproof[SP206]") && Contains("Fix: "));
  }
}
TEST_CASE("a text of more rules than a plan holds is refused, not cut off") {
  std::string text = "{";
  for (int i = 0; i < 1024; ++i) text += (i ? ", \"" : "\"") + ("l" + std::to_string(i)) + "\": \"colwise\"";
  CHECK(refusal(text + "}") == "");
  CHECK_THAT(refusal(text + R"(, "one_more": "colwise"})"), StartsWith("shardproof[SP206]") && Contains("1024"));
}
TEST_CASE("an extent table that is full says so") {
  sp::extent_table t;
  static sp::dim_info many[49];
  for (int i = 0; i < 48; ++i) t.set(&many[i], i);
  t.set(&many[3], 7);                                                                // an old entry still changes
  CHECK(t.find(&many[3]) == 7);
  CHECK(t.find(&many[47]) == 47);
  CHECK_THROWS_WITH(t.set(&many[48], 1), StartsWith("shardproof[SP001]") && Contains("48"));
  CHECK(t.find(&many[48]) == sp::dynamic);
}
TEST_CASE("an extent that contradicts its dimension's own is refused") {
  struct features : sp::dim<12> {};
  struct rows : sp::dim<> {};
  using sizes = sp::sizes_of<sp::dims<rows, features>>;
  CHECK(sizes{24, 12}.count() == 24 * 12);
  CHECK_THROWS_WITH((sizes{24, 11}), StartsWith("shardproof[SP001]"));
}
