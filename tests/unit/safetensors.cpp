// io/safetensors.hpp: malformed files are refused whole and by name; every type goes to disk and back.
#include <catch2/catch.hpp>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>
#include <shardproof/io/safetensors.hpp>
#include "scratch_folder.hpp"

namespace sp = shardproof;
namespace io = shardproof::io;
namespace fs = std::filesystem;
using namespace std::string_literals;
using names = std::vector<std::string>;
using io::element;

namespace {

/// The file whose header says it has `length` bytes.
std::string image(std::uint64_t length, std::string_view rest) {
  std::string bytes(8, '\0');
  for (std::size_t k = 0; k < 8; ++k) bytes[k] = char(length >> 8 * k & 0xff);
  return bytes + std::string(rest);
}
/// A file with this header, as it is, and so many bytes of data.
std::string file_of(std::string_view header, std::size_t data = 0) {
  return image(header.size(), header) + std::string(data, 'd');
}
/// A header entry.
std::string entry(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return "\"" + std::string(name) + "\":{\"dtype\":" + std::string(dtype) + ",\"shape\":" + std::string(shape) +
         ",\"data_offsets\":" + std::string(offsets) + "}";
}
/// The one tensor "a" of four bytes, in a file that is right but for one field.
std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return file_of("{" + entry("a", dtype, shape, offsets) + "}", 4);
}
std::string named(std::string_view name) { return file_of("{" + entry(name, "\"U8\"", "[4]", "[0,4]") + "}", 4); }
std::string two(std::string_view first, std::string_view second, std::size_t data) {
  return file_of("{" + entry("a", "\"U8\"", "[4]", first) + "," + entry("b", "\"U8\"", "[4]", second) + "}", data);
}

struct refused {
  int number = 0;                                              // of the SP code; 0: nothing was thrown
  std::string message;
};
template <class F> refused refusal(F&& f) {
  try {
    f();
  } catch (const sp::error& e) {
    return {sp::number(e.which()), e.what()};
  }
  return {};
}
bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
std::size_t open_files() { return std::size_t(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator{})); }

struct malformed {
  const char* what;
  std::string bytes;
  const char* says;
};

std::vector<malformed> malformed_files() {
  const std::string big_name(1 << 20, 'n'), deep(1'000'000, '[');
  const std::string a = entry("a", "\"U8\"", "[4]", "[0,4]"), next = entry("a", "\"U8\"", "[4]", "[4,8]");
  const std::string next_escaped = entry("\\u0061", "\"U8\"", "[4]", "[4,8]"), none = entry("z", "\"U8\"", "[0]", "[0,0]");
  const std::string fields = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]";
  return {
      // The file.
      {"empty", "", "its 0 bytes are fewer than the 8"},
      {"seven bytes", "\x02\0\0\0\0\0\0"s, "its 7 bytes are fewer than the 8"},
      {"header length 0", image(0, "{}"), "the header is empty (length 0 at byte 0)"},
      {"only a length", image(2, ""), "a header of 2 bytes does not fit into a file of 8 bytes, at byte 0"},
      {"header one byte longer than the file", image(3, "{}"), "a header of 3 bytes does not fit into a file of 10 bytes"},
      {"header of 100000001 bytes", image(100'000'001, "{}"), "longer than the 100000000 the format allows"},
      {"header of 2^40 bytes", image(std::uint64_t(1) << 40, "{}"), "a header of 1099511627776 bytes is longer"},
      {"header of 2^63 bytes", image(std::uint64_t(1) << 63, "{}"), "a header of 9223372036854775808 bytes is longer"},
      {"header of 2^64 - 1 bytes", image(~std::uint64_t(0), "{}"), "a header of 18446744073709551615 bytes is longer"},
      {"header of 2^64 - 8 bytes", image(~std::uint64_t(7), "{}"), "is longer"},
      {"a length in the wrong byte order", "\0\0\0\0\0\0\0\x02{}"s, "is longer"},
      // The text.
      {"leading space", file_of(" {}"), "the header does not begin with '{' at byte 8"},
      {"leading newline", file_of("\n{}"), "does not begin with '{'"},
      {"byte-order mark", file_of("\xef\xbb\xbf{}"), "does not begin with '{'"},
      {"an array", file_of("[]"), "does not begin with '{'"},
      {"a number", file_of("12345678"), "does not begin with '{'"},
      {"a string", file_of("\"abcdef\""), "does not begin with '{'"},
      {"UTF-16", file_of("{\0}\0"s), "a name in quotes is expected at byte 9"},
      {"only spaces", file_of("        "), "does not begin with '{'"},
      {"cut after the brace", file_of("{"), "the text ends too early at byte 9"},
      {"cut inside a name", file_of("{\"a"), "the text ends too early at byte 11"},
      {"cut inside an entry", file_of("{" + a.substr(0, 20), 4), "the text ends too early"},
      {"header length inside the JSON", image(1 + a.size(), "{" + a + "}dddd"), "the text ends too early"},
      {"header length behind the padding", image(4 + a.size(), "{" + a + "}ddddd"), "text behind the end of the document"},
      {"padded with newlines", file_of("{" + a + "}\n\n", 4), "padded with something else than spaces"},
      {"padded with NUL", file_of("{" + a + "}\0\0"s, 4), "text behind the end of the document"},
      {"two documents", file_of("{" + a + "}{}", 4), "text behind the end of the document"},
      {"a trailing comma", file_of("{" + a + ",}", 4), "a name in quotes is expected"},
      {"a comment", file_of("{/*x*/" + a + "}", 4), "a name in quotes is expected"},
      {"a name without quotes", file_of("{a:1}"), "a name in quotes is expected at byte 9"},
      {"not UTF-8", named("\xff"), "not UTF-8 at byte 10"},
      {"overlong UTF-8", named("\xc0\xaf"), "not UTF-8"},
      {"a surrogate in UTF-8", named("\xed\xa0\x80"), "not UTF-8"},
      {"half of an escaped pair", named("\\ud800"), "half of a surrogate pair"},
      {"an unknown escape", named("\\x41"), "an unknown escape"},
      {"a raw newline in a name", named("a\nb"), "a control character in a string"},
      {"a million brackets", file_of("{\"a\":" + deep), "nested deeper than 64 levels"},
      {"a million brackets in metadata", file_of("{\"__metadata__\":" + deep), "nested deeper than 64 levels"},
      // Names.
      {"the same tensor twice", file_of("{" + a + "," + next + "}", 8), "tensor 'a' occurs twice"},
      {"the same tensor twice, once escaped", file_of("{" + a + "," + next_escaped + "}", 8), "tensor 'a' occurs twice"},
      {"an empty tensor twice", file_of("{" + none + "," + none + "}"), "tensor 'z' occurs twice"},
      {"an empty name", named(""), "tensor '' has no name at byte 10"},
      {"a name that is a path upwards", named("../a"), "has a name that is a path upwards"},
      {"a name with a path upwards inside", named("a/../b"), "a path upwards"},
      {"a name that ends in a path upwards", named("a/.."), "a path upwards"},
      {"a name with NUL", named("a\\u0000b"), "tensor 'a\\x00b' has a control character in its name"},
      {"a name with an escaped newline", named("a\\nb"), "tensor 'a\\x0ab' has a control character in its name"},
      {"a name of 1 MB", named(big_name), "has a name of more than 4096 bytes"},
      // Metadata.
      {"metadata twice", file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), "__metadata__ occurs twice at byte 28"},
      {"metadata twice, once escaped", file_of("{\"__metadata__\":{},\"\\u005f_metadata__\":{}}"), "__metadata__ occurs twice"},
      {"metadata is a string", file_of("{\"__metadata__\":\"pt\"}"), "__metadata__ is not an object"},
      {"metadata is null", file_of("{\"__metadata__\":null}"), "__metadata__ is not an object"},
      {"metadata holds a number", file_of("{\"__metadata__\":{\"step\":1}}"),
       "__metadata__ holds something else than strings at byte 32"},
      {"metadata holds an object", file_of("{\"__metadata__\":{\"a\":{}}}"), "something else than strings"},
      {"metadata holds a name twice", file_of("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}"), "a name occurs twice"},
      // Entries.
      {"an entry that is a number", file_of("{\"a\":1}"), "tensor 'a' is described by something else than an object at byte 13"},
      {"an entry that is an array", file_of("{\"a\":[]}"), "something else than an object"},
      {"an entry that is null", file_of("{\"a\":null}"), "something else than an object"},
      {"an empty entry", file_of("{\"a\":{}}"), "tensor 'a' has no dtype"},
      {"no dtype", file_of("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4), "has no dtype"},
      {"no shape", file_of("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4), "has no shape"},
      {"no data_offsets", file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4), "has no data_offsets"},
      {"a field too many", file_of(fields + ",\"x\":1}}", 4), "a field that the format"},
      {"a field twice", file_of(fields + ",\"shape\":[4]}}", 4), "has a field twice"},
      {"an unknown dtype", one("\"F33\"", "[1]", "[0,4]"), "tensor 'a' has the unknown dtype 'F33' at byte 22"},
      {"a dtype in lower case", one("\"f32\"", "[1]", "[0,4]"), "the unknown dtype 'f32'"},
      {"an empty dtype", one("\"\"", "[1]", "[0,4]"), "the unknown dtype ''"},
      {"a dtype with a space", one("\"F32 \"", "[1]", "[0,4]"), "the unknown dtype 'F32 '"},
      {"a dtype that is a number", one("32", "[1]", "[0,4]"), "has a dtype that is not a string"},
      {"a dtype that is null", one("null", "[1]", "[0,4]"), "has a dtype that is not a string"},
      {"a shape that is a number", one("\"U8\"", "4", "[0,4]"), "has a shape that is not an array"},
      {"a shape that is an object", one("\"U8\"", "{\"0\":4}", "[0,4]"), "has a shape that is not an array"},
      {"a negative extent", one("\"U8\"", "[-4]", "[0,4]"), "has '-4' in shape, not a natural number"},
      {"two negative extents", one("\"U8\"", "[-2,-2]", "[0,4]"), "has '-2' in shape"},
      {"an extent of -0", one("\"U8\"", "[-0]", "[0,4]"), "has '-0' in shape"},
      {"a fractional extent", one("\"U8\"", "[4.0]", "[0,4]"), "has '4.0' in shape"},
      {"an extent with an exponent", one("\"U8\"", "[4e0]", "[0,4]"), "has '4e0' in shape"},
      {"an extent of 2^63", one("\"U8\"", "[9223372036854775808]", "[0,4]"), "has '9223372036854775808' in shape"},
      {"an extent of 2^64 + 4", one("\"U8\"", "[18446744073709551620]", "[0,4]"), "has '18446744073709551620' in shape"},
      {"an extent that is a string", one("\"U8\"", "[\"4\"]", "[0,4]"), "has '\"4\"' in shape"},
      {"an extent that is null", one("\"U8\"", "[null]", "[0,4]"), "has 'null' in shape"},
      {"an extent with a leading zero", one("\"U8\"", "[04]", "[0,4]"), "a number begins with 0"},
      {"a shape in a shape", one("\"U8\"", "[[4]]", "[0,4]"), "in shape"},
      {"extents whose product wraps to 4", one("\"U8\"", "[4611686018427387905,4]", "[0,4]"), "a number that is too large"},
      {"extents whose product is 2^64", one("\"U8\"", "[4294967296,4294967296]", "[0,4]"), "a number that is too large"},
      {"bytes that wrap to 4", one("\"F32\"", "[4611686018427387905]", "[0,4]"), "a number that is too large"},
      // Offsets.
      {"one offset", one("\"U8\"", "[4]", "[4]"), "has fewer than two data_offsets"},
      {"no offset", one("\"U8\"", "[4]", "[]"), "has fewer than two data_offsets"},
      {"three offsets", one("\"U8\"", "[4]", "[0,4,4]"), "has more than two data_offsets"},
      {"offsets that are a string", one("\"U8\"", "[4]", "\"0,4\""), "has data_offsets that are not an array"},
      {"a negative offset", one("\"U8\"", "[4]", "[-4,0]"), "has '-4' in data_offsets"},
      {"a fractional offset", one("\"U8\"", "[4]", "[0,4.0]"), "has '4.0' in data_offsets"},
      {"an offset of 2^64", one("\"U8\"", "[4]", "[0,18446744073709551616]"), "in data_offsets"},
      {"the end before the begin", one("\"U8\"", "[4]", "[4,0]"), "tensor 'a' ends before it begins"},
      {"an end past the file", one("\"U8\"", "[8]", "[0,8]"), "tensor 'a' ends at 8 of 4 data bytes"},
      {"all past the file", one("\"U8\"", "[4]", "[8,12]"), "ends at 12 of 4 data bytes"},
      {"data cut by one byte", file_of("{" + a + "}", 3), "ends at 4 of 3 data bytes"},
      {"data without a byte", file_of("{" + a + "}"), "ends at 4 of 0 data bytes"},
      {"too few bytes for the shape", one("\"F32\"", "[2]", "[0,4]"),
       "tensor 'a' has 4 bytes at byte 62, but its dtype and shape need 8"},
      {"too many bytes for the shape", one("\"I16\"", "[1]", "[0,4]"), "its dtype and shape need 2"},
      {"bytes for an empty tensor", one("\"F32\"", "[0]", "[0,4]"), "need 0"},
      {"no bytes for a scalar", file_of("{" + entry("a", "\"F32\"", "[]", "[0,0]") + "}"), "need 4"},
      {"half a byte", one("\"F4\"", "[7]", "[0,4]"), "too large or not whole"},
      {"a hole before the first tensor", two("[1,5]", "[5,9]", 9), "no tensor holds the bytes before tensor 'a' at byte"},
      {"a hole between tensors", two("[0,4]", "[5,9]", 9), "no tensor holds the bytes before tensor 'b'"},
      {"two tensors in the same bytes", two("[0,4]", "[0,4]", 4), "tensor 'b' overlaps the one before it at byte"},
      {"an overlap of one byte", two("[0,4]", "[3,7]", 7), "tensor 'b' overlaps"},
      {"an overlap in the other order", two("[3,7]", "[0,4]", 7), "tensor 'a' overlaps"},
      {"an empty tensor inside another",
       file_of("{" + a + "," + entry("z", "\"U8\"", "[0]", "[2,2]") + "}", 4), "tensor 'z' overlaps the one before it"},
      {"an empty tensor behind the end", file_of("{" + a + "," + entry("z", "\"U8\"", "[0]", "[5,5]") + "}", 4),
       "tensor 'z' ends at 5 of 4 data bytes"},
      {"a trailing byte", file_of("{" + a + "}", 5), "no tensor holds the last 1 bytes, at byte"},
      {"data without a tensor", file_of("{}", 100), "no tensor holds the last 100 bytes, at byte 10"},
      {"a header that counts as data", image(2, "{}{" + a + "}dddd"), "no tensor holds the last"},
  };
}

std::string pattern(std::size_t n, unsigned seed) {
  std::string bytes(n, '\0');
  std::mt19937 random(seed);
  for (char& c : bytes) c = char(random());
  return bytes;
}
/// Writes entries whose bytes are pattern(size, k); returns the bytes.
std::vector<std::string> write_all(const std::string& path, const std::vector<io::tensor_entry>& entries) {
  std::vector<std::string> data;
  for (std::size_t k = 0; k < entries.size(); ++k)
    data.push_back(pattern(*io::tensor_bytes(entries[k].type, entries[k].shape), unsigned(k)));
  io::atomic_writer out(path);
  io::write_safetensors(out, entries, [&](std::size_t k, auto&& sink) { sink(data[k].data(), data[k].size()); });
  out.commit();
  return data;
}

}  // namespace

TEST_CASE("a malformed safetensors file is refused with SP601, its name and the place, and nothing of it is kept") {
  const scratch_folder dir;
  const std::string path = dir.at("bad.safetensors");
  const std::vector<malformed> all = malformed_files();
  CHECK(all.size() >= 110);
  const std::size_t before = open_files();
  for (const malformed& m : all) {
    dir.put("bad.safetensors", m.bytes);
    const refused r = refusal([&] { io::safetensors_file f(path); });
    INFO(m.what << ": " << r.message);
    CHECK(r.number == 601);
    CHECK(r.message.starts_with("shardproof[SP601] malformed safetensors file " + path + ": "));
    CHECK(holds(r.message, m.says));
    CHECK((holds(r.message, "byte") || holds(r.message, "tensor '")));
    CHECK(r.message.ends_with(". Fix: write the file again; nothing was loaded from it."));
    CHECK(r.message.size() < 1000);
    CHECK(refusal([&] { io::checkpoint_files c(path); }).number == 601);
  }
  CHECK(open_files() == before);
}

TEST_CASE("a safetensors path that is no regular file is refused with SP608") {
  const scratch_folder dir;
  const auto number = [](const std::string& path) { return refusal([&] { io::safetensors_file f(path); }).number; };
  CHECK(number(dir.at("absent")) == 608);
  CHECK(number(dir.path()) == 608);
  REQUIRE(::mkfifo(dir.at("fifo").c_str(), 0600) == 0);
  CHECK(number(dir.at("fifo")) == 608);
  CHECK(number("/dev/zero") == 608);
  fs::create_symlink("absent", dir.at("dangling"));
  CHECK(number(dir.at("dangling")) == 608);
  dir.put("good", file_of("{}"));
  fs::create_symlink("good", dir.at("link"));
  CHECK(number(dir.at("link")) == 0);
}

TEST_CASE("white space around the header is accepted only when asked for") {
  const scratch_folder dir;
  const std::string path = dir.put("a", file_of(" \n{" + entry("a", "\"U8\"", "[4]", "[0,4]") + "}\n\t ", 4));
  CHECK(refusal([&] { io::safetensors_file f(path); }).number == 601);
  const io::safetensors_file f(path, {.white_space = true});
  CHECK(f.bytes(f.at("a")) == "dddd");
  dir.put("b", file_of("   ", 0));
  CHECK(refusal([&] { io::safetensors_file g(dir.at("b"), {.white_space = true}); }).number == 601);
}

TEST_CASE("what the format allows is read: no tensors, scalars, no elements, any order, spaces inside") {
  const scratch_folder dir;
  CHECK(io::safetensors_file(dir.put("a", file_of("{}"))).tensors().empty());
  CHECK(io::safetensors_file(dir.put("a", file_of("{}      "))).tensors().empty());
  dir.put("a", file_of("{ \"b\" : {\"shape\": [ 2 , 2 ], \"data_offsets\" : [4,8], \"dtype\":\"U8\"},\n" +
                           entry("s", "\"F32\"", "[]", "[0,4]") + "," +
                           entry("z", "\"F64\"", "[3,0,9223372036854775807]", "[4,4]") + "," +
                           entry("end", "\"I64\"", "[0]", "[8,8]") +
                           R"(,"__metadata__":{"format":"pt","\u00e9":"x\ny"}})", 8));
  const io::safetensors_file f(dir.at("a"));
  names order;
  for (const io::tensor_info& t : f.tensors()) order.emplace_back(t.name);
  CHECK(order == names{"s", "z", "b", "end"});
  CHECK(f.at("s").shape.empty());
  CHECK(f.at("s").bytes() == 4);
  CHECK(io::described(f.at("z")) == "F64 [3, 0, 9223372036854775807]");
  CHECK(f.bytes(f.at("z")).empty());
  CHECK(io::described(f.at("b")) == "U8 [2, 2]");
  CHECK(f.metadata() == io::safetensors_metadata{{"format", "pt"}, {"\xc3\xa9", "x\ny"}});
  CHECK(f.find("c") == nullptr);
  const refused r = refusal([&] { f.at("lm_head.weight"); });
  CHECK(r.message == "shardproof[SP602] tensor lm_head.weight is missing from " + dir.at("a") +
                         ". Fix: name its source in the weight map, or initialise the parameter explicitly.");
  CHECK(r.number == 602);
}

TEST_CASE("names may be any text that stays on one line") {
  const scratch_folder dir;
  const names all = {"a",      "\xc3\xa9\xf0\x9f\x98\x80", "with space",  "a/b/c",
                     "a..b",   "..a/b..",                  "\"quoted\"", "back\\slash",
                     ".hidden", std::string(4096, 'n')};
  std::vector<io::tensor_entry> entries;
  for (const std::string& n : all) entries.push_back({n, element::u8, {3}});
  const auto data = write_all(dir.at("a"), entries);
  const io::safetensors_file f(dir.at("a"));
  for (std::size_t k = 0; k < all.size(); ++k) CHECK(f.bytes(f.at(all[k])) == data[k]);
  const refused r = refusal([&] { f.at("\n"); });
  CHECK(holds(r.message, "tensor \\x0a is missing"));
}

TEST_CASE("every type goes to disk and back, byte for byte") {
  const scratch_folder dir;
  std::vector<io::tensor_entry> entries;
  for (std::size_t k = 0; k < std::size(io::detail::elements); ++k) {
    const auto type = element(k);
    entries.push_back({std::string("t.") + io::name_of(type), type, {4, 6}});
    entries.push_back({std::string("none.") + io::name_of(type), type, {5, 0}});
    if (io::bits_of(type) % 8 == 0) entries.push_back({std::string("scalar.") + io::name_of(type), type, {}});
    CHECK(io::element_named(io::name_of(type)) == type);
  }
  CHECK(entries.size() == 57);
  const auto data = write_all(dir.at("a"), entries);
  io::safetensors_file first(dir.at("a"));
  const io::safetensors_file f = std::move(first);             // views survive
  REQUIRE(f.tensors().size() == entries.size());
  for (std::size_t k = 0; k < entries.size(); ++k) {
    const io::tensor_info& t = f.at(entries[k].name);
    INFO(entries[k].name);
    CHECK(t.type == entries[k].type);
    CHECK(std::vector<std::int64_t>(t.shape.begin(), t.shape.end()) == entries[k].shape);
    CHECK(f.bytes(t) == data[k]);
    std::string copy(t.bytes(), '\0');
    f.copy(t, copy.data());
    CHECK(copy == data[k]);
  }
  CHECK(f.header().header_bytes() % 8 == 0);
}

TEST_CASE("types of the library are read, others are listed and refused with SP603") {
  const scratch_folder dir;
  using sp::dtype;
  for (const dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32, dtype::i8, dtype::u8}) {
    CHECK(io::name_of(io::stored_as(t)) == std::string(sp::name_of(t)));
    CHECK(io::bits_of(io::stored_as(t)) == 8 * int(sp::bytes_of(t)));
    write_all(dir.at("a"), {{"w", io::stored_as(t), {2, 2}}});
    CHECK(io::type_of(io::safetensors_file(dir.at("a")).at("w")) == t);
  }
  write_all(dir.at("a"), {{"w", element::f8_e4m3, {2, 3}}});
  const io::safetensors_file f(dir.at("a"));
  const refused r = refusal([&] { io::type_of(f.at("w")); });
  CHECK(r.number == 603);
  CHECK(r.message == "shardproof[SP603] tensor w is F8_E4M3 [2, 3] in the file, a type that the library does not compute with. "
                     "Fix: convert the checkpoint to F32, BF16 or F16.");
  CHECK_FALSE(io::dtype_of(element::boolean));
  CHECK_FALSE(io::dtype_of(element::i16));
}

TEST_CASE("the writer spells a file as the reference writer does") {
  const scratch_folder dir;
  const std::vector<io::tensor_entry> entries = {{"b\"", element::f32, {1, 2}}, {"a", element::u8, {}}};
  io::atomic_writer out(dir.at("a"));
  io::write_safetensors(out, entries, [](std::size_t k, auto&& sink) { k ? sink("!", 1) : sink("01234567", 8); });
  out.commit();
  const std::string header = R"({"__metadata__":{"format":"pt"},"b\"":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  CHECK(dir.get("a") == image(padded, header + std::string(padded - header.size(), ' ') + "01234567!"));
  io::atomic_writer empty(dir.at("b"));
  io::safetensors_writer(empty, {}, {}).finish();
  empty.commit();
  CHECK(dir.get("b") == image(8, "{}      "));
  std::vector<io::tensor_entry> mixed = {{"z", element::u8, {}}, {"b", element::f32, {}}, {"a", element::f32, {}},
                                         {"c", element::i64, {}}, {"i", element::i32, {}}};
  io::sort_entries(mixed);
  names order;
  for (const io::tensor_entry& e : mixed) order.push_back(e.name);
  CHECK(order == names{"c", "a", "b", "i", "z"});
}

TEST_CASE("the writer takes a tensor in pieces, and refuses bytes too many or too few, leaving the old file") {
  const scratch_folder dir;
  dir.put("a", "old");
  constexpr element u8 = element::u8;
  const std::vector<io::tensor_entry> entries = {{"x", u8, {6}}, {"none", u8, {0}}, {"y", u8, {2}}};
  {
    io::atomic_writer out(dir.at("a"));
    io::write_safetensors(out, entries, [](std::size_t k, auto&& sink) {
      if (k == 0) for (const char c : {'1', '2', '3', '4', '5', '6'}) sink(&c, 1);
      if (k == 2) sink("78", 2);
    });
    out.commit();
    const io::safetensors_file f(dir.at("a"));
    CHECK(f.bytes(f.at("x")) == "123456");
    CHECK(f.bytes(f.at("y")) == "78");
  }
  dir.put("a", "old");
  const auto write = [&](auto&& data) {
    return refusal([&] {
      io::atomic_writer out(dir.at("a"));
      io::write_safetensors(out, entries, data);
      out.commit();
    });
  };
  const refused few = write([](std::size_t, auto&& sink) { sink("12345", 5); });
  CHECK(few.number == 608);
  CHECK(holds(few.message, "tensor x is short of 1 bytes"));
  CHECK(holds(write([](std::size_t, auto&& sink) { sink("1234567", 7); }).message, "tensor x is given more bytes than it has"));
  CHECK(holds(write([](std::size_t k, auto&& sink) { sink("123456", k ? 1 : 6); }).message, "tensor none is given more bytes"));
  const refused direct = refusal([&] {
    io::atomic_writer out(dir.at("a"));
    io::safetensors_writer w(out, entries);
    w.append("123456", 6);
    w.append("78", 2);
    w.finish();
    w.append("9", 1);
  });
  CHECK(holds(direct.message, "more bytes than its tensors have"));
  const refused early = refusal([&] {
    io::atomic_writer out(dir.at("a"));
    io::safetensors_writer w(out, entries);
    w.append("123456", 6);
    w.finish();
  });
  CHECK(holds(early.message, "tensor y is short of 2 bytes"));
  CHECK_THROWS_AS(write([](std::size_t, auto&&) { throw std::runtime_error("the gather failed"); }), std::runtime_error);
  CHECK(dir.get("a") == "old");
  CHECK(dir.names() == names{"a"});
}

TEST_CASE("the writer writes nothing that a reader would refuse") {
  const scratch_folder dir;
  const auto write = [&](std::vector<io::tensor_entry> entries) {
    return refusal([&] {
      io::atomic_writer out(dir.at("a"));
      io::safetensors_writer w(out, entries);
    });
  };
  constexpr element u8 = element::u8;
  CHECK(write({{"", u8, {}}}).number == 601);
  CHECK(write({{"../a", u8, {}}}).number == 601);
  CHECK(write({{"a\n", u8, {}}}).number == 601);
  CHECK(write({{"\xff", u8, {}}}).number == 601);
  CHECK(write({{"__metadata__", u8, {}}}).number == 601);
  CHECK(write({{std::string(4097, 'n'), u8, {}}}).number == 601);
  CHECK(write({{"a", u8, {-1}}}).number == 601);
  CHECK(write({{"a", element::f4, {3}}}).number == 601);
  CHECK(write({{"a", element::f64, {std::int64_t(1) << 62}}}).number == 601);
  CHECK(holds(write({{"a", u8, {1}}, {"b", u8, {1}}, {"a", u8, {1}}}).message, "tensor 'a' is to be written twice"));
  CHECK(dir.names().empty());
}

TEST_CASE("a rank copies exactly its own byte ranges") {
  const scratch_folder dir;
  const std::int64_t rows = 300, columns = 1000;
  constexpr element u8 = element::u8;                         // neighbours, so that a range too far is still in the file
  const std::string w = write_all(dir.at("a"), {{"a", u8, {5}}, {"w", element::i16, {rows, columns}}, {"z", u8, {2'000'000}}})[1];
  const io::safetensors_file f(dir.at("a"));
  const io::tensor_info& t = f.at("w");
  const std::size_t line = std::size_t(columns) * 2;
  SECTION("rows") {
    std::string part(100 * line, '\0');
    f.copy(t, {50 * line, 150 * line}, part.data());
    CHECK(part == w.substr(50 * line, 100 * line));
  }
  SECTION("columns, by each of four ranks") {
    for (std::size_t rank = 0; rank < 4; ++rank) {
      const std::size_t piece = line / 4;
      std::string part(std::size_t(rows) * piece, '\0'), want, ranges(part.size(), '\0');
      for (std::size_t r = 0; r < std::size_t(rows); ++r) want += w.substr(r * line + rank * piece, piece);
      f.copy_strided(t, rank * piece, piece, line, std::uint64_t(rows), part.data());
      CHECK(part == want);
      std::vector<io::byte_range> list;
      for (std::size_t r = 0; r < std::size_t(rows); ++r)
        list.push_back({r * line + rank * piece, r * line + (rank + 1) * piece});
      CHECK(f.copy_ranges(t, list, ranges.data()) == want.size());
      CHECK(ranges == want);
    }
  }
  SECTION("ranges in any order, overlapping, empty") {
    std::string part(14, '\0');
    const std::vector<io::byte_range> list = {{600'000 - 4, 600'000}, {0, 4}, {2, 6}, {100'000, 100'000}, {200'000, 200'002}};
    CHECK(f.copy_ranges(t, list, part.data()) == 14);
    CHECK(part == w.substr(599'996) + w.substr(0, 4) + w.substr(2, 4) + w.substr(200'000, 2));
  }
  SECTION("strides far apart, of nothing, and of one value again and again") {
    std::string part(12, '\0');
    f.copy_strided(t, 1, 4, 200'000, 3, part.data());
    CHECK(part == w.substr(1, 4) + w.substr(200'001, 4) + w.substr(400'001, 4));
    f.copy_strided(t, 2, 4, 0, 3, part.data());
    CHECK(part == w.substr(2, 4) + w.substr(2, 4) + w.substr(2, 4));
    f.copy_strided(t, 0, 0, 1, 5, part.data());
    f.copy_strided(t, 0, 5, 1, 0, part.data());
  }
  SECTION("and none outside the tensor") {
    char to[64];
    const std::uint64_t n = t.bytes(), huge = ~std::uint64_t(0);
    const auto number = [&](auto&& call) { return refusal(call).number; };
    CHECK(number([&] { f.copy(t, {n - 1, n + 1}, to); }) == 608);
    CHECK(number([&] { f.copy(t, {2, 1}, to); }) == 608);
    CHECK(number([&] { f.copy_ranges(t, std::vector<io::byte_range>{{0, 1}, {n, n + 1}}, to); }) == 608);
    CHECK(number([&] { f.copy_strided(t, n - 3, 4, 1, 1, to); }) == 608);
    CHECK(number([&] { f.copy_strided(t, 0, 4, n - 4, 3, to); }) == 608);
    CHECK(number([&] { f.copy_strided(t, huge, 4, 4, 2, to); }) == 608);
    CHECK(number([&] { f.copy_strided(t, 0, 4, huge, 2, to); }) == 608);
    CHECK(number([&] { f.copy_strided(t, 0, 1, 1, huge, to); }) == 608);
    f.copy_strided(t, 0, 4, n - 4, 2, to);
  }
}

TEST_CASE("a file that is cut after it was opened gives SP608, not a signal") {
  const scratch_folder dir;
  write_all(dir.at("a"), {{"w", element::u8, {100'000}}});
  const io::safetensors_file f(dir.at("a"));
  REQUIRE(::truncate(dir.at("a").c_str(), 50) == 0);
  std::string to(100'000, '\0');
  CHECK(refusal([&] { f.copy(f.at("w"), to.data()); }).number == 608);
  CHECK(refusal([&] { f.ready(f.at("w")); }).number == 608);
  CHECK(refusal([&] { f.copy_strided(f.at("w"), 0, 10, 1000, 100, to.data()); }).number == 608);
  CHECK(refusal([&] { f.copy_ranges(f.at("w"), std::vector<io::byte_range>{{0, 99'999}}, to.data()); }).number == 608);
  CHECK(f.tensors()[0].name == "w");                           // the header was copied
}

TEST_CASE("a header of 10^5 tensors is read at once, in any order, and a repeated name among them is found") {
  const int count = 100'000;
  std::string header = "{";
  for (int k = 0; k < count; ++k) {
    const int at = int(k * 70001ll % count);                   // a permutation: neither names nor offsets in order
    header += (k ? "," : "") + entry("t" + std::to_string(at), "\"U8\"", "[1]",
                                     "[" + std::to_string(at) + "," + std::to_string(at + 1) + "]");
  }
  const io::safetensors_header h(header + "}", count, "large");
  CHECK(h.tensors().size() == std::size_t(count));
  for (int k = 0; k < count; k += 997) CHECK(h.find("t" + std::to_string(k))->begin == std::uint64_t(k));
  CHECK(h.find("t100000") == nullptr);
  const std::string again = header + "," + entry("t777", "\"U8\"", "[1]", "[100000,100001]") + "}";
  CHECK(holds(refusal([&] { io::safetensors_header x(again, count + 1, "large"); }).message, "tensor 't777' occurs twice"));
}

TEST_CASE("a checkpoint is one file, a folder with one file, or a folder with an index") {
  const scratch_folder dir;
  constexpr element u8 = element::u8;
  const names first = write_all(dir.at("model-1.safetensors"), {{"a", u8, {3}}, {"c", u8, {4}}});
  const names second = write_all(dir.at("model-2.safetensors"), {{"b", u8, {5}}, {"extra", u8, {1}}});
  dir.put("model.safetensors.index.json", R"({"metadata": {"total_size": 1}, "weight_map":
      {"c": "model-1.safetensors", "b": "model-2.safetensors", "a": "model-1.safetensors"}})");
  const io::checkpoint_files c(dir.path());
  names order;
  for (const io::stored_tensor& t : c.tensors()) order.emplace_back(t.name());
  CHECK(order == names{"a", "b", "c", "extra"});               // what the index forgets is there all the same
  CHECK(c.at("c").bytes() == first[1]);
  CHECK(c.at("b").bytes() == second[0]);
  CHECK(c.at("b").file->path() == dir.at("model-2.safetensors"));
  CHECK(c.tensor_bytes() == 13);
  CHECK(c.files().size() == 2);
  CHECK(c.find("d") == nullptr);
  const refused missing = refusal([&] { c.at("d"); });
  CHECK(missing.number == 602);
  CHECK(missing.message == "shardproof[SP602] tensor d is missing from " + dir.path() +
                               ". Fix: name its source in the weight map, or initialise the parameter explicitly.");
  CHECK(io::checkpoint_files(dir.at("model-2.safetensors")).tensors().size() == 2);
  write_all(dir.at("model.safetensors"), {{"only", element::u8, {1}}});
  CHECK(io::checkpoint_files(dir.path()).tensors().size() == 1);
}

TEST_CASE("an index that does not fit its files is refused") {
  const scratch_folder dir;
  write_all(dir.at("1.safetensors"), {{"a", element::u8, {3}}, {"c", element::u8, {4}}});
  write_all(dir.at("2.safetensors"), {{"b", element::u8, {5}}});
  write_all(dir.at("3.safetensors"), {{"a", element::u8, {3}}});
  fs::create_directory(dir.at("sub"));
  write_all(dir.at("sub/4.safetensors"), {{"s", element::u8, {3}}});
  const auto open = [&](std::string_view text) {
    dir.put("model.safetensors.index.json", text);
    return refusal([&] { io::checkpoint_files c(dir.path()); });
  };
  const auto map = [&](std::string_view text) { return open("{\"weight_map\":" + std::string(text) + "}"); };
  const auto refused_as = [](const refused& r, std::string_view says) {
    INFO(r.message);
    CHECK(r.number == 601);
    CHECK(holds(r.message, says));
  };
  CHECK(map(R"({"a":"1.safetensors","b":"2.safetensors"})").number == 0);
  refused_as(map(R"({"a":"1.safetensors","x":"2.safetensors"})"),
             "weight_map puts tensor 'x' into 2.safetensors, which does not hold it");
  refused_as(map(R"({"a":"1.safetensors","b":"3.safetensors"})"), "puts tensor 'b' into 3.safetensors");
  refused_as(map(R"({"c":"1.safetensors","a":"3.safetensors"})"), "tensor 'a' is also in " + dir.at("1.safetensors"));
  refused_as(map(R"({"a":"1.safetensors","a":"3.safetensors"})"), "a name occurs twice at byte");
  refused_as(map(R"({"s":"sub/4.safetensors"})"), "not the plain name of a .safetensors file");
  refused_as(map(R"({"s":"../sub/4.safetensors"})"), "not the plain name");
  refused_as(map(R"({"s":"/etc/passwd"})"), "not the plain name");
  refused_as(map(R"({"s":".."})"), "not the plain name");
  refused_as(map(R"({"s":""})"), "not the plain name");
  refused_as(map(R"({"s":"a\u0000.safetensors"})"), "not the plain name");
  refused_as(map(R"({"s":"model.bin"})"), "not the plain name");
  refused_as(map(R"({"s":1})"), "a file that is not a string");
  refused_as(map("{}"), "weight_map is empty");
  refused_as(map("[]"), "it has no object weight_map");
  refused_as(open("{}"), "it has no object weight_map");
  refused_as(open("[]"), "it has no object weight_map");
  refused_as(open(""), "the text ends too early at byte 0");
  refused_as(open("{\"weight_map\":{}} x"), "text behind the end of the document");
  const refused missing = map(R"({"a":"1.safetensors","b":"absent.safetensors"})");
  CHECK(missing.number == 608);
  CHECK(holds(missing.message, "cannot open " + dir.at("absent.safetensors") + ": No such file or directory"));
  dir.put("5.safetensors", "short");
  refused_as(map(R"({"a":"1.safetensors","b":"5.safetensors"})"), dir.at("5.safetensors"));
  fs::remove(dir.at("model.safetensors.index.json"));
  const refused none = refusal([&] { io::checkpoint_files c(dir.path()); });
  CHECK(none.number == 608);
  CHECK(holds(none.message, "it holds neither model.safetensors nor model.safetensors.index.json"));
  CHECK(refusal([&] { io::checkpoint_files c(dir.at("nowhere")); }).number == 608);
}
