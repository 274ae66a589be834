// io/json_tree.hpp and io/json_writer.hpp: what is read, changed and written back stays what other programs expect.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>
#include <shardproof/io/json_tree.hpp>
#include "scratch_folder.hpp"

namespace sp = shardproof;
using sp::io::json_tree;
using namespace std::string_view_literals;

namespace {

json_tree parsed(std::string_view text) {
  const sp::json::parsed<json_tree> p = json_tree::parse(text);
  INFO(text);
  REQUIRE_FALSE(p.wrong);
  return p.value;
}
std::string number(double x) {
  std::string out;
  sp::io::append_number(out, x);
  return out;
}

// As Python's json.dumps(config, indent=2) + "\n" writes it.
constexpr std::string_view config = R"({
  "architectures": [
    "LlamaForCausalLM"
  ],
  "attention_dropout": 0.0,
  "bos_token_id": null,
  "empty": [],
  "hidden_size": 56,
  "name": "caf\u00e9 \ud83d\ude00 \u007f \"quoted\" \\ / \n\t\b\f\r\u0001",
  "nothing": {},
  "rms_norm_eps": 1e-06,
  "rope_parameters": {
    "factors": [
      1.0,
      [
        2
      ]
    ],
    "rope_theta": 10000.0
  },
  "seed": 18446744073709551616,
  "use_cache": true
}
)";

}  // namespace

TEST_CASE("a configuration comes back byte for byte, unknown keys and large numbers too") {
  CHECK(parsed(config).pretty() == config);
  CHECK(parsed(parsed(config).compact()) == parsed(config));
  CHECK(parsed("[]").pretty() == "[]\n");
  CHECK(parsed(" 1.50 ").compact() == "1.50");
}

TEST_CASE("a tree gives its values exactly or not at all") {
  const json_tree t = parsed(config);
  CHECK(t.find("hidden_size")->as_int() == 56);
  CHECK(t.find("hidden_size")->as_double() == 56.0);
  CHECK(t.find("rms_norm_eps")->as_double() == 1e-6);
  CHECK(t.find("rms_norm_eps")->as_int() == std::nullopt);
  CHECK(t.find("seed")->as_int() == std::nullopt);
  CHECK(t.find("seed")->as_double() == 18446744073709551616.0);
  CHECK(t.find("use_cache")->as_bool() == true);
  CHECK(t.find("use_cache")->as_int() == std::nullopt);
  CHECK(t.find("bos_token_id")->is_null());
  CHECK(t.find("architectures")->items()[0].as_string() == "LlamaForCausalLM"sv);
  CHECK(t.find("name")->as_string() == "caf\xc3\xa9 \xf0\x9f\x98\x80 \x7f \"quoted\" \\ / \n\t\b\f\r\x01"sv);
  CHECK(t.find("rope_parameters")->find("factors")->operator[](1)[0].as_int() == 2);
  CHECK(t.find("absent") == nullptr);
  CHECK(t.find("hidden_size")->find("x") == nullptr);
  CHECK(parsed("0.1").as_double() == 0.1);
  CHECK(parsed("1e400").as_double() == std::nullopt);
  CHECK(t.find("seed")->spelling() == "18446744073709551616");
  CHECK(t.find("bos_token_id")->spelling() == "null");
  CHECK(t.find("empty")->spelling() == "an array");
}

TEST_CASE("a tree is changed in place") {
  json_tree t = parsed(R"({"a": 1, "b": {"c": 2}, "d": 3})");
  t.set("a", "one");
  t.find("b")->set("e", json_tree::array()).push(1.5);
  t.find("b")->find("e")->push(nullptr);
  t.set("f", std::int64_t(-7));
  t.set("g", true);
  CHECK(t.erase("d"));
  CHECK_FALSE(t.erase("d"));
  CHECK(t.compact() == R"({"a": "one", "b": {"c": 2, "e": [1.5, null]}, "f": -7, "g": true})");
  CHECK(t.size() == 4);
  CHECK(t.names() == std::vector<std::string>{"a", "b", "f", "g"});
  json_tree list;
  list.push(1).set("was", "a number");
  CHECK(list.compact() == R"([{"was": "a number"}])");
  CHECK(json_tree(std::numeric_limits<std::uint64_t>::max()).compact() == "18446744073709551615");
  CHECK(json_tree(std::nan("")).is_null());
  CHECK(json_tree("x"sv) == json_tree(std::string("x")));
  CHECK_FALSE(json_tree(1) == json_tree(1.0));
}

TEST_CASE("a fault of a configuration file is reported with file, byte, line and column") {
  const scratch_folder dir;
  const std::string path = dir.put("config.json", "{\n  \"a\": 1,\n  \"a\": 2\n}\n");
  const auto message = [&](sp::code code) -> std::string {
    try {
      sp::io::read_json(path, code);
    } catch (const sp::error& e) {
      return e.which() == code ? e.what() : "another code";
    }
    return "nothing";
  };
  CHECK(message(sp::code::wrong_configuration) ==
        "shardproof[SP604] malformed JSON file " + path +
            ": a name occurs twice at byte 15 (line 3, column 4). Fix: correct the file there.");
  dir.put("config.json", "{\"a\": NaN}");
  CHECK(message(sp::code::malformed_file) == "shardproof[SP601] malformed JSON file " + path +
                                                 ": a value is expected at byte 6 (line 1, column 7). " +
                                                 "Fix: correct the file there.");
  CHECK(json_tree::parse("[1,2").wrong.at == 4);
  CHECK(json_tree::parse(R"([{"x":{"k":1,"\u006b":1}}])").wrong.at == 14);
  CHECK(json_tree::parse("[1,2").value.is_null());
}

TEST_CASE("strings are escaped so that the result is always JSON") {
  using sp::io::json_letters;
  using sp::io::quoted;
  CHECK(quoted("a\"b\\c/\n\x01\x7f") == "\"a\\\"b\\\\c/\\n\\u0001\x7f\"");
  CHECK(quoted("\0"sv) == "\"\\u0000\"");
  CHECK(quoted("\xc3\xa9\xf0\x9f\x98\x80") == "\"\xc3\xa9\xf0\x9f\x98\x80\"");
  CHECK(quoted("\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbf\x7f", json_letters::ascii) == R"("\u00e9\ud83d\ude00\uffff\u007f")");
  CHECK(quoted("\xff" "a\xc3") == R"("\ufffda\ufffd")");
  CHECK(quoted("\xed\xa0\x80") == R"("\ufffd\ufffd\ufffd")");
  CHECK(sp::io::is_utf8("a\xc3\xa9"));
  CHECK_FALSE(sp::io::is_utf8("a\xc3"));
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 12, '\0');
    for (char& c : bytes) c = char(random() % 3 ? random() % 256 : 0xc0 + random() % 64);
    for (const json_letters letters : {json_letters::utf8, json_letters::ascii}) {
      const sp::json::parsed<json_tree> back = json_tree::parse(quoted(bytes, letters));
      if (back.wrong) FAIL_CHECK("not JSON");
      else if (sp::io::is_utf8(bytes) && back.value.as_string() != bytes) FAIL_CHECK("another string");
    }
  }
}

TEST_CASE("numbers are written as Python writes them, and read back as they were") {
  CHECK(number(0) == "0.0");
  CHECK(number(-0.0) == "-0.0");
  CHECK(number(1) == "1.0");
  CHECK(number(10000) == "10000.0");
  CHECK(number(1e-6) == "1e-06");
  CHECK(number(0.0001) == "0.0001");
  CHECK(number(0.00001) == "1e-05");
  CHECK(number(0.02) == "0.02");
  CHECK(number(123456789.125) == "123456789.125");
  CHECK(number(9999999999999998.0) == "9999999999999998.0");
  CHECK(number(1e16) == "1e+16");
  CHECK(number(1.5e300) == "1.5e+300");
  CHECK(number(5e-324) == "5e-324");
  CHECK(number(-3.14) == "-3.14");
  CHECK(number(std::nan("")) == "null");
  CHECK(number(std::numeric_limits<double>::infinity()) == "null");
  std::mt19937_64 random(5);
  for (int round = 0; round < 20000; ++round) {
    const double x = std::ldexp(double(random() % (std::uint64_t(1) << 53)), int(random() % 200) - 120);
    if (parsed(number(x)).as_double() != x) FAIL_CHECK(number(x));
  }
}

TEST_CASE("an object of many names is read in reasonable time, and a repeated one found") {
  std::string text = "{";
  for (int k = 0; k < 100'000; ++k) text += "\"model.layers." + std::to_string(k) + "\": \"a.safetensors\",";
  CHECK(parsed(text + "\"last\": 0}").size() == 100'001);
  CHECK(json_tree::parse(text + "\"model.layers.5\": 0}").wrong.at == text.size() + 1);
}
