// core/json.hpp: every check runs in the compiler and again in the program; nlohmann's reader is the oracle of the rest.
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <nlohmann/json.hpp>
#include <shardproof/core/json.hpp>

#define CHECK_TWICE(...)      \
  static_assert(__VA_ARGS__); \
  CHECK((__VA_ARGS__))

namespace json = shardproof::json;
using namespace std::string_view_literals;

namespace {

constexpr bool good(std::string_view text) { return !json::check(text); }
/// Refused, at this byte.
constexpr bool bad(std::string_view text, std::size_t at) {
  const json::fault f = json::check(text);
  return f && f.at == at;
}
constexpr bool says(std::string_view text, std::string_view what) {
  const json::fault f = json::check(text);
  return f && std::string_view(f.what) == what;
}
constexpr bool is_string(std::string_view text, std::string_view plain) {
  const json::document d = json::read(text);
  return !d.wrong && d.root.is(json::kind::string) && d.root.as_string() == plain;
}
constexpr bool is_int(std::string_view text, std::int64_t n) {
  const json::parsed<std::int64_t> p = json::root(text).as_int();
  return good(text) && !p.wrong && p.value == n;
}
constexpr bool no_int(std::string_view text) { return good(text) && json::root(text).as_int().wrong; }
constexpr bool twice_at(std::string_view text, std::size_t at) {
  const json::fault f = json::read(text).wrong;
  return f && f.at == at && std::string_view(f.what) == "a name occurs twice";
}
template <std::size_t N> struct buffer {
  char text[N] = {};
  constexpr std::string_view view() const { return {text, N}; }
};
/// `depth` arrays around nothing.
template <std::size_t Depth> constexpr buffer<2 * Depth> nested() {
  buffer<2 * Depth> b;
  for (std::size_t k = 0; k < Depth; ++k) { b.text[k] = '['; b.text[2 * Depth - 1 - k] = ']'; }
  return b;
}
/// {"layers.*.self_attn.a00": "colwise_gather_output", ...}, Rules members of 51 bytes; the last one repeats the first.
template <std::size_t Rules> constexpr buffer<51 * Rules + 1> plan(bool repeat) {
  buffer<51 * Rules + 1> b;
  b.text[0] = '{';
  for (std::size_t r = 0; r < Rules; ++r) {
    constexpr std::string_view rule = "\"layers.*.self_attn.a000\": \"colwise_gather_output\",";
    static_assert(rule.size() == 51);
    for (std::size_t k = 0; k < 51; ++k) b.text[1 + 51 * r + k] = rule[k];
    const std::size_t n = repeat && r + 1 == Rules ? 0 : r;
    b.text[1 + 51 * r + 21] = char('0' + n / 100);
    b.text[1 + 51 * r + 22] = char('0' + n / 10 % 10);
    b.text[1 + 51 * r + 23] = char('0' + n % 10);
  }
  b.text[51 * Rules] = '}';
  return b;
}

}  // namespace

TEST_CASE("json accepts every form of a value") {
  CHECK_TWICE(good("null"));
  CHECK_TWICE(good("true"));
  CHECK_TWICE(good(" \t\r\n false \n"));
  CHECK_TWICE(good("0"));
  CHECK_TWICE(good("-0"));
  CHECK_TWICE(good("10.25"));
  CHECK_TWICE(good("-1.5e-10"));
  CHECK_TWICE(good("1E+5"));
  CHECK_TWICE(good("0.0"));
  CHECK_TWICE(good("0e0"));
  CHECK_TWICE(good("\"\""));
  CHECK_TWICE(good("\"\x7f\""));
  CHECK_TWICE(good("[]"));
  CHECK_TWICE(good("[ ]"));
  CHECK_TWICE(good("{ }"));
  CHECK_TWICE(good("[1,2 , [3],{\"a\" : [ ] , \"b\":{}}]"));
  CHECK_TWICE(good(R"(["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"])"));
}

TEST_CASE("json names the byte of the first fault") {
  CHECK_TWICE(bad("", 0));
  CHECK_TWICE(bad("   ", 3));
  CHECK_TWICE(bad("\xef\xbb\xbf{}", 0));
  CHECK_TWICE(bad("nul", 0));
  CHECK_TWICE(bad("True", 0));
  CHECK_TWICE(bad("NaN", 0));
  CHECK_TWICE(bad("-Infinity", 1));
  CHECK_TWICE(bad("+1", 0));
  CHECK_TWICE(bad(".5", 0));
  CHECK_TWICE(bad("1.", 2));
  CHECK_TWICE(bad("1.e3", 2));
  CHECK_TWICE(bad("1e", 2));
  CHECK_TWICE(bad("1e+", 3));
  CHECK_TWICE(bad("-", 1));
  CHECK_TWICE(bad("01", 0));
  CHECK_TWICE(bad("-01", 1));
  CHECK_TWICE(bad("0x10", 1));
  CHECK_TWICE(bad("1 2", 2));
  CHECK_TWICE(bad("{} x", 3));
  CHECK_TWICE(bad("{}\0"sv, 2));
  CHECK_TWICE(bad("[1,]", 3));
  CHECK_TWICE(bad("[,1]", 1));
  CHECK_TWICE(bad("[1 2]", 3));
  CHECK_TWICE(bad("[1", 2));
  CHECK_TWICE(bad("[", 1));
  CHECK_TWICE(bad("[1}", 2));
  CHECK_TWICE(bad("{1:2}", 1));
  CHECK_TWICE(bad("{\"a\"}", 4));
  CHECK_TWICE(bad("{\"a\" 1}", 5));
  CHECK_TWICE(bad("{\"a\":}", 5));
  CHECK_TWICE(bad("{\"a\":1,}", 7));
  CHECK_TWICE(bad("{\"a\":1", 6));
  CHECK_TWICE(bad("{\"a", 3));
  CHECK_TWICE(bad("{\"a\":1]", 6));
  CHECK_TWICE(bad("{'a':1}", 1));
  CHECK_TWICE(bad("/* no */ 1", 0));
  CHECK_TWICE(bad("]", 0));
  CHECK_TWICE(bad("[]]", 2));
  CHECK_TWICE(says("[1", "the text ends too early"));
  CHECK_TWICE(says("01", "a number begins with 0"));
  CHECK_TWICE(says("\xef\xbb\xbf{}", "a byte-order mark"));
  CHECK_TWICE(says("{} x", "text behind the end of the document"));
}

TEST_CASE("json refuses strings that are not UTF-8 or hold control characters") {
  CHECK_TWICE(bad("\"abc", 4));
  CHECK_TWICE(bad("\"a\nb\"", 2));
  CHECK_TWICE(bad("\"a\0b\""sv, 2));
  CHECK_TWICE(bad("\"\x1f\"", 1));
  CHECK_TWICE(bad("\"\x80\"", 1));
  CHECK_TWICE(bad("\"\xc0\x80\"", 1));                         // overlong NUL
  CHECK_TWICE(bad("\"\xc1\xbf\"", 1));
  CHECK_TWICE(bad("\"\xe0\x9f\xbf\"", 1));                     // overlong
  CHECK_TWICE(bad("\"\xed\xa0\x80\"", 1));                     // a surrogate
  CHECK_TWICE(bad("\"\xf0\x8f\xbf\xbf\"", 1));                 // overlong
  CHECK_TWICE(bad("\"\xf4\x90\x80\x80\"", 1));                 // above U+10FFFF
  CHECK_TWICE(bad("\"\xf5\x80\x80\x80\"", 1));
  CHECK_TWICE(bad("\"\xc3\"", 1));                             // cut
  CHECK_TWICE(bad("\"\xe2\x82\"", 1));
  CHECK_TWICE(good("\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""));
  CHECK_TWICE(good("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""));
  CHECK_TWICE(bad("\xc3\xa9", 0));
}

TEST_CASE("json resolves escapes and refuses bad ones") {
  CHECK_TWICE(is_string(R"("a\"\\\/\b\f\n\r\tz")", "a\"\\/\b\f\n\r\tz"));
  CHECK_TWICE(is_string(R"("\u0041\u00e9\u20AC\ud83d\ude00")", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
  CHECK_TWICE(is_string(R"("\u0000")", "\0"sv));
  CHECK_TWICE(is_string(R"("\\u0041")", "\\u0041"));
  CHECK_TWICE(is_string(R"("\uDBFF\uDFFF")", "\xf4\x8f\xbf\xbf"));
  CHECK_TWICE(!is_string(R"("abc")", "ab"));
  CHECK_TWICE(!is_string(R"("ab")", "abc"));
  CHECK_TWICE(!is_string(R"("\u0061b")", "a"));
  CHECK_TWICE(!is_string(R"("\u0061")", "ab"));
  CHECK_TWICE(bad(R"("\x41")", 1));
  CHECK_TWICE(bad(R"("\u12g4")", 1));
  CHECK_TWICE(bad(R"("\u12")", 1));
  CHECK_TWICE(bad(R"("\ud800")", 1));
  CHECK_TWICE(bad(R"("\ud800\u0041")", 1));
  CHECK_TWICE(bad(R"("\udc00\ud800")", 1));
  CHECK_TWICE(bad(R"("\ud800x")", 1));
  CHECK_TWICE(bad("\"\\", 1));
}

TEST_CASE("json goes 64 levels deep and no deeper") {
  static constexpr auto legal = nested<64>();
  static constexpr auto deep = nested<65>();
  CHECK_TWICE(good(legal.view()));
  CHECK_TWICE(bad(deep.view(), 64));
  CHECK(bad(std::string(1'000'000, '['), 64));
  std::string objects;
  for (int k = 0; k < 64; ++k) objects += "{\"a\":";
  CHECK(good(objects + "1" + std::string(64, '}')));
  CHECK_FALSE(json::read(objects + "1" + std::string(64, '}')).wrong);
  CHECK(bad(objects + "[" + "]" + std::string(64, '}'), 320));
}

TEST_CASE("json reads integers exactly or not at all") {
  CHECK_TWICE(is_int("0", 0));
  CHECK_TWICE(is_int("-0", 0));
  CHECK_TWICE(is_int("42", 42));
  CHECK_TWICE(is_int("-17", -17));
  CHECK_TWICE(is_int("9223372036854775807", INT64_MAX));
  CHECK_TWICE(is_int("-9223372036854775808", INT64_MIN));
  CHECK_TWICE(no_int("9223372036854775808"));
  CHECK_TWICE(no_int("-9223372036854775809"));
  CHECK_TWICE(no_int("18446744073709551616"));
  CHECK_TWICE(no_int("99999999999999999999999999"));
  CHECK_TWICE(no_int("1.0"));
  CHECK_TWICE(no_int("1e3"));
  CHECK_TWICE(no_int("\"1\""));
  CHECK_TWICE(no_int("true"));
  CHECK_TWICE(no_int("null"));
}

TEST_CASE("json reads truth values and the kind of everything") {
  CHECK_TWICE(json::root("true").as_bool().value);
  CHECK_TWICE(!json::root("false").as_bool().value && !json::root("false").as_bool().wrong);
  CHECK_TWICE(bool(json::root(" 1").as_bool().wrong) && json::root(" 1").as_bool().wrong.at == 1);
  CHECK_TWICE(json::root("{}").kind() == json::kind::object);
  CHECK_TWICE(json::root("[]").kind() == json::kind::array);
  CHECK_TWICE(json::root("\"\"").kind() == json::kind::string);
  CHECK_TWICE(json::root("-1").kind() == json::kind::number);
  CHECK_TWICE(json::root("true").kind() == json::kind::boolean);
  CHECK_TWICE(json::root("null").kind() == json::kind::null);
  CHECK_TWICE(json::value().kind() == json::kind::absent && !json::value());
  CHECK_TWICE(json::root("[]").as_string().raw().empty());
}

TEST_CASE("json visits members and elements in order, with their place in the text") {
  static constexpr std::string_view text = R"( {"b": [10, "x" ,{}], "a\u0020b":{"c":null},"d":-1.5e3 } )";
  static constexpr json::document d = json::read(text);
  CHECK_TWICE(!d.wrong && json::count(d.root) == 3);
  CHECK_TWICE(d.root.text().size() == text.size() - 2 && d.root.at() == 1);
  CHECK_TWICE(d.root.find("a b").find("c").kind() == json::kind::null);
  CHECK_TWICE(d.root.find("a b").text() == R"({"c":null})"sv && d.root.find("a b").at() == 33);
  CHECK_TWICE(d.root.find("d").text() == "-1.5e3"sv);
  CHECK_TWICE(!d.root.find("e") && !d.root.find("b").find("x") && !d.root.find("a"));
  CHECK_TWICE(json::count(d.root.find("b")) == 3 && json::count(d.root.find("d")) == 0);
  std::string seen;
  json::each_member(d.root, [&](const json::string& name, json::value v) {
    const bool in_place = text.substr(v.at(), v.text().size()) == v.text();
    seen += std::string(name.raw()) + "@" + std::to_string(name.at()) + (in_place ? ";" : "!");
  });
  CHECK(seen == R"(b@3;a\u0020b@23;d@45;)");
  std::vector<std::string> parts;
  json::each_element(d.root.find("b"), [&](json::value v) {
    parts.emplace_back(v.text());
    return parts.size() < 2;                                   // ends here
  });
  CHECK(parts == std::vector<std::string>{"10", "\"x\""});
  char plain[16];
  json::each_member(d.root.find("a b"), [&](const json::string& name, json::value) { CHECK(name.unescape(plain) == 1); });
  CHECK(json::root(R"("a\u0020b")").as_string().unescape(plain) == 3);
  CHECK(std::string_view(plain, 3) == "a b");
}

TEST_CASE("json finds a name that occurs twice in one object") {
  CHECK_TWICE(twice_at(R"({"a":1,"b":2,"a":3})", 14));
  CHECK_TWICE(twice_at(R"({"a":1,"\u0061":2})", 8));
  CHECK_TWICE(twice_at(R"({"\u0061":1,"a":2})", 13));
  CHECK_TWICE(twice_at(R"({"\u0061":1,"\u0061":2})", 13));
  CHECK_TWICE(twice_at(R"([0,{"x":{"y":[{"k":1,"k":1}]}}])", 22));
  CHECK_TWICE(twice_at(R"({"":1,"":2})", 7));
  CHECK_TWICE(!json::read(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]})").wrong);
  CHECK_TWICE(!json::read(R"({"a":1,"A":2,"a ":3,"":4})").wrong);
  std::string many = "{";
  for (int k = 0; k < 20000; ++k) many += "\"name" + std::to_string(k) + "\":" + std::to_string(k) + ",";
  CHECK_FALSE(json::read(many + "\"name\":0}").wrong);
  CHECK(twice_at(many + "\"name777\":0}", many.size() + 1));
}

TEST_CASE("json reads a plan of 6 KB within the compilers' own limits") {
  static constexpr auto text = plan<120>(false);
  static constexpr json::document d = json::read(text.view());
  CHECK_TWICE(!d.wrong && json::count(d.root) == 120);
  static constexpr auto repeated = plan<120>(true);
  static constexpr json::fault f = json::read(repeated.view()).wrong;
  CHECK_TWICE(f && f.at == 51 * 119 + 2);
  static constexpr std::uint64_t sum = [] {
    std::uint64_t h = 0;
    json::each_member(d.root, [&](const json::string& name, json::value v) { h ^= name.hash() + v.as_string().hash(); });
    return h;
  }();
  CHECK_TWICE(sum != 0);
}

TEST_CASE("json hashes strings, not their spelling") {
  CHECK_TWICE(json::root(R"("\u0061bc")").as_string().hash() == json::root(R"("abc")").as_string().hash());
  CHECK_TWICE(json::root(R"("abd")").as_string().hash() != json::root(R"("abc")").as_string().hash());
  CHECK_TWICE(json::root(R"("a")").as_string().hash() == 0xaf63dc4c8601ec8cu);        // FNV-1a's published value
}

TEST_CASE("json counts lines and columns from 1") {
  CHECK_TWICE(json::where("ab\ncd", 0).line == 1 && json::where("ab\ncd", 0).column == 1);
  CHECK_TWICE(json::where("ab\ncd", 4).line == 2 && json::where("ab\ncd", 4).column == 2);
  CHECK_TWICE(json::where("a", 99).line == 1 && json::where("a", 99).column == 2);
}

TEST_CASE("json agrees with nlohmann on every pair and many longer runs of bytes in a string") {
  const auto agree = [](const std::string& bytes) {
    const std::string text = "\"" + bytes + "\"";
    if (good(text) == nlohmann::json::accept(text)) return;
    const std::vector<unsigned char> numbers(bytes.begin(), bytes.end());
    FAIL_CHECK("they differ on bytes " << nlohmann::json(numbers));
  };
  for (int a = 1; a < 256; ++a)
    for (int b = 1; b < 256; ++b)
      if (a != '"' && b != '"') agree({char(a), char(b)});
  const int edges[] = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff};
  for (int a = 0xc0; a < 256; ++a)
    for (int b : edges)
      for (int c : edges) {
        agree({char(a), char(b), char(c)});
        for (int d : edges) agree({char(a), char(b), char(c), char(d)});
      }
}

TEST_CASE("json agrees with nlohmann on damaged documents") {
  // Where the two differ by intent: depth, a byte-order mark, NUL at the end, equal names, and numbers outside double.
  const std::string seeds[] = {
      R"({"layers.*.mlp.up_proj":"colwise","b":[1,-2.5e3,0,true,false,null,{"x":[]}],"\u00e9\n":{"k":""}})",
      R"([{"dtype":"F32","shape":[131,56],"data_offsets":[0,29344]},"\ud83d\ude00",-0.0e-1,[[[]]],{}])",
      "\t{ \"a\" : [ 1 , 2 ] ,\r\n \"b\" : \"\xc3\xa9\xf0\x9f\x98\x80\" }"};
  const std::string letters = "{}[]:,\"\\/ \n\t0123456789-+.eEtrufalsnbd\x80\xc3\xa9\xf0\x1f";
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return std::size_t(random() % n); };
  int accepted = 0;
  for (int round = 0; round < 30000; ++round) {
    std::string text = seeds[below(3)];
    for (std::size_t edits = below(3) + 1; edits > 0 && !text.empty(); --edits) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0: text[at] = letters[below(letters.size())]; break;
        case 1: text.insert(at, 1, letters[below(letters.size())]); break;
        case 2: text.erase(at, below(3) + 1); break;
        default: text.insert(below(text.size() + 1), text.substr(at, below(9))); break;
      }
    }
    INFO(text);
    nlohmann::json parsed;
    bool ours = good(text), theirs = true;
    try {
      parsed = nlohmann::json::parse(text);
    } catch (const nlohmann::json::out_of_range&) {            // a number too large for double: the grammar allows it
      ours = theirs = false;
    } catch (const nlohmann::json::parse_error&) {
      theirs = false;
    }
    if (ours != theirs) FAIL_CHECK("they differ");
    if (!ours || !theirs) continue;
    ++accepted;
    if (json::read(text).wrong || !parsed.is_structured()) continue;      // nlohmann keeps the last of two equal names
    if (json::count(json::root(text)) != parsed.size()) FAIL_CHECK("sizes differ");
    json::each_member(json::root(text), [&](const json::string& name, json::value v) {
      std::string key(name.raw().size(), '\0');
      key.resize(name.unescape(key.data()));
      const bool known = parsed.contains(key);
      if (!known) FAIL_CHECK("the name differs: " << key);
      if (!known || !v.is(json::kind::string)) return;
      if (!(v.as_string() == parsed[key].get<std::string>())) FAIL_CHECK("the string differs: " << key);
    });
  }
  CHECK(accepted > 1000);
}
