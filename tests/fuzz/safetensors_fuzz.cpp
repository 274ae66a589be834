// libFuzzer: no input makes the readers of safetensors and JSON do anything but accept or refuse, and what they accept holds
// what they promise. The first byte chooses the reader.
//
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -I include tests/fuzz/safetensors_fuzz.cpp -o fuzz
//   ./fuzz -dict=tests/fuzz/safetensors.dict -max_len=4096
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <shardproof/core/json.hpp>
#include <shardproof/io/json_tree.hpp>
#include <shardproof/io/safetensors_header.hpp>

namespace sp = shardproof;

namespace {

void want(bool promise) {
  if (!promise) std::abort();
}

void check_header(std::string text, std::uint64_t data_bytes, bool white_space) {
  const std::string copy = text;
  try {
    sp::io::safetensors_header first(std::move(text), data_bytes, "fuzz", {.white_space = white_space});
    const sp::io::safetensors_header h = std::move(first);
    std::uint64_t covered = 0;
    for (const sp::io::tensor_info& t : h.tensors()) {
      want(t.begin == covered && t.end >= t.begin && t.end <= data_bytes);
      want(sp::io::tensor_bytes(t.type, t.shape) == t.bytes());
      want(h.find(t.name) == &t && !t.name.empty());
      covered = t.end;
    }
    want(covered == data_bytes);
    want(!sp::json::read(copy).wrong);
  } catch (const sp::error& e) {
    want(e.which() == sp::code::malformed_file);
    want(std::strstr(e.what(), "Fix: write the file again; nothing was loaded from it.") != nullptr);
    want(std::strchr(e.what(), '\n') == nullptr);
  }
}

void check_file(std::string_view image) {
  try {
    const std::uint64_t n = sp::io::header_length(image.substr(0, 8), image.size(), "fuzz");
    want(n > 0 && n <= image.size() - 8);
    check_header(std::string(image.substr(8, n)), image.size() - 8 - n, false);
  } catch (const sp::error& e) {
    want(e.which() == sp::code::malformed_file);
  }
}

// The three readers agree, and what is written reads back as the same.
void check_json(std::string_view text) {
  const sp::json::document view = sp::json::read(text);
  const sp::json::parsed<sp::io::json_tree> tree = sp::io::json_tree::parse(text);
  want(bool(view.wrong) == bool(tree.wrong));
  if (view.wrong) {
    want(view.wrong.at <= text.size() && tree.wrong.at <= text.size());
    return;
  }
  want(view.root.kind() == tree.value.kind());
  want(tree.value.is_object() || tree.value.is_array() ? sp::json::count(view.root) == tree.value.size() : true);
  for (const std::string& written : {tree.value.compact(), tree.value.pretty()}) {
    const sp::json::parsed<sp::io::json_tree> again = sp::io::json_tree::parse(written);
    want(!again.wrong && again.value == tree.value);
  }
  for (std::size_t k = 0; k < tree.value.names().size(); ++k) {
    const sp::json::value member = view.root.find(tree.value.names()[k]);
    want(member && member.kind() == tree.value[k].kind());
    want(text.substr(member.at(), member.text().size()) == member.text());
    const sp::json::parsed<std::int64_t> n = member.as_int();
    want(tree.value[k].as_int() == (n.wrong ? std::nullopt : std::optional(n.value)));
    (void)tree.value[k].as_double();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size < 3) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(bytes) + 3, size - 3);
  const std::uint64_t data = bytes[1] | std::uint64_t(bytes[2]) << 8;
  switch (bytes[0] % 4) {
    case 0: check_file(rest); break;
    case 1: check_header(std::string(rest), data, false); break;
    case 2: check_header(std::string(rest), data, true); break;
    default: check_json(rest);
  }
  return 0;
}
