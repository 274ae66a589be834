// io/checkpoint.hpp: every rank reads its own part, whatever the placement; what is written is what was read.
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>
#include <shardproof/engine/threads.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/shardproof.hpp>
#include "scratch_folder.hpp"

namespace io = shardproof::io;
namespace {

struct hidden : sp::dim<6> {};
struct ffn : sp::dim<10> {};
struct vocab : sp::dim<7> {};
struct heads : sp::dim<4, sp::units> {};
struct feature : sp::dim<3> {};

template <class At> struct body {
  SP_LAYER(embed, sp::embedding<vocab, hidden>);
  SP_LAYER(up, sp::linear<hidden, ffn, sp::with_bias>);
  SP_LAYER(down, sp::linear<ffn, hidden, sp::with_bias>);
  SP_LAYER(q, sp::linear<hidden, sp::dims<heads, feature>, sp::with_bias>);
  SP_LAYER(norm, sp::rms_norm<hidden>);
};
inline constexpr sp::plan sharded{sp::embedding_rowwise{"embed"}, sp::colwise{"up", "q"}, sp::rowwise{"down"}};
inline constexpr sp::plan whole_plan{sp::replicated{"embed", "up", "q", "down"}};
using model = body<sp::at<sharded>>;

constexpr const char* names[] = {"embed.weight", "up.weight", "up.bias", "down.weight",
                                 "down.bias",    "q.weight",  "q.bias",  "norm.weight"};

/// Writes a checkpoint of values that tell where they belong.
template <class M> void write_one(const std::string& folder, sp::dtype type, std::optional<sp::dtype> stored = {}) {
  M m;
  sp::fill(m, [](std::string_view name, long i) { return double(name.size()) + 0.25 * double(i) - 3; }, type);
  sp::save(m, folder, stored);
}
std::string bytes_of_file(const scratch_folder& dir, const std::string& name) { return dir.get(name + "/model.safetensors"); }

int code_of(const std::string& path, std::optional<sp::dtype> type = {}) {
  try {
    model m;
    sp::load(m, path, {.type = type});
  } catch (const sp::error& e) { return sp::number(e.which()); }
  return 0;
}

}  // namespace

TEST_CASE("a checkpoint has the shapes and names that transformers gives it") {
  const scratch_folder dir;
  write_one<model>(dir.at("c"), sp::dtype::f32);
  const io::checkpoint_files files(dir.at("c"));
  CHECK(files.tensors().size() == 8);
  for (const char* n : names) CHECK(files.find(n));
  CHECK(io::described(*files.at("up.weight").tensor) == "F32 [10, 6]");
  CHECK(io::described(*files.at("q.weight").tensor) == "F32 [12, 6]");  // heads and their features are one dimension there
  CHECK(io::described(*files.at("q.bias").tensor) == "F32 [12]");
  CHECK(io::described(*files.at("embed.weight").tensor) == "F32 [7, 6]");
}

TEST_CASE("ranks read their parts and write the same bytes again, at any number of them") {
  const scratch_folder dir;
  for (const auto type : {sp::dtype::f32, sp::dtype::f64, sp::dtype::bf16, sp::dtype::f16}) {
    write_one<model>(dir.at("whole"), type);
    const std::string expected = bytes_of_file(dir, "whole");
    for (const int ranks : {1, 2, 4}) {
      sp::run(ranks, [&] {
        model m;
        const io::load_report r = sp::load(m, dir.at("whole"));
        double mine = 0;
        for (const auto& p : sp::parameters(m)) mine += double(p.local_bytes(sp::self.where, type));
        if (double(r.bytes_read) != mine || !r.unused.empty())
          throw sp::error(sp::code::usage, "a rank read more than its part", "read less.");
        sp::save(m, dir.at("again"));
      });
      INFO(ranks << " ranks, " << sp::name_of(type));
      CHECK(bytes_of_file(dir, "again") == expected);
    }
  }
}

TEST_CASE("what one plan wrote another reads") {
  const scratch_folder dir;
  write_one<body<sp::at<whole_plan>>>(dir.at("whole"), sp::dtype::f32);
  const std::string expected = bytes_of_file(dir, "whole");
  sp::run(4, [&] {
    model m;
    sp::load(m, dir.at("whole"));
    sp::save(m, dir.at("sharded"));
  });
  CHECK(bytes_of_file(dir, "sharded") == expected);
}

TEST_CASE("types are converted on the way in and out, and rounded once") {
  const scratch_folder dir;
  write_one<model>(dir.at("wide"), sp::dtype::f32);
  write_one<model>(dir.at("narrow"), sp::dtype::f32, sp::dtype::bf16);
  const io::checkpoint_files narrow(dir.at("narrow"));
  CHECK(narrow.at("up.weight").tensor->type == io::element::bf16);
  model m;
  sp::load(m, dir.at("narrow"), {.type = sp::dtype::f32});
  CHECK(m.up.weight.at->type == sp::dtype::f32);
  CHECK(sp::values(m.up.weight)[1] == 9 + 0.25 - 3);  // few bits suffice for these
  sp::save(m, dir.at("back"), sp::dtype::bf16);
  CHECK(bytes_of_file(dir, "back") == bytes_of_file(dir, "narrow"));
  model wide;
  sp::load(wide, dir.at("wide"), {.type = sp::dtype::f64});
  CHECK(wide.norm.weight.at->type == sp::dtype::f64);
  CHECK(sp::values(wide.norm.weight)[5] == 11 + 1.25 - 3);
}

TEST_CASE("tensors that the model has no place for are reported, and those it lacks refused") {
  const scratch_folder dir;
  write_one<model>(dir.at("c"), sp::dtype::f32);
  const std::string path = dir.at("c") + "/model.safetensors";
  const auto rewrite = [&](const std::string& left_out, const std::vector<io::tensor_entry>& more) {
    std::vector<io::tensor_entry> entries = more;
    const io::safetensors_file old(path);
    for (const auto& t : old.tensors())
      if (t.name != left_out) entries.push_back({std::string(t.name), t.type, {t.shape.begin(), t.shape.end()}});
    io::atomic_writer out(dir.at("c") + "/next.safetensors");
    const std::vector<char> nothing(4096);
    io::write_safetensors(out, entries, [&](std::size_t k, auto&& sink) {
      const std::string_view bytes = old.find(entries[k].name) && k >= more.size()
                                         ? old.bytes(old.at(entries[k].name))
                                         : std::string_view(nothing.data(), *io::tensor_bytes(entries[k].type, entries[k].shape));
      sink(bytes.data(), bytes.size());
    });
    out.commit();
    return dir.at("c") + "/next.safetensors";
  };
  {
    model m;
    const auto r = sp::load(m, rewrite("", {{"extra.weight", io::element::f32, {3}}}));
    CHECK(r.unused == std::vector<std::string>{"extra.weight"});
  }
  for (const char* n : names) CHECK(code_of(rewrite(n, {})) == 602);
  CHECK(code_of(rewrite("up.weight", {{"up.weight", io::element::f32, {6, 10}}})) == 603);
  CHECK(code_of(rewrite("up.weight", {{"up.weight", io::element::f32, {60}}})) == 603);
  CHECK(code_of(rewrite("q.weight", {{"q.weight", io::element::f32, {4, 3, 6}}})) == 603);
  CHECK(code_of(rewrite("up.weight", {{"up.weight", io::element::i32, {10, 6}}})) == 603);
  CHECK(code_of(rewrite("up.weight", {{"up.weight", io::element::i64, {10, 6}}}), sp::dtype::f32) == 603);
  CHECK(code_of(rewrite("up.weight", {{"up.weight", io::element::f64, {10, 6}}})) == 0);
}

TEST_CASE("ranks that cannot share a dimension are refused before anything is read") {
  const scratch_folder dir;
  write_one<model>(dir.at("c"), sp::dtype::f32);
  int code = 0;
  try {
    sp::run(3, [&] {
      model m;
      sp::load(m, dir.at("c"));
    });
  } catch (const sp::error& e) { code = sp::number(e.which()); }
  CHECK(code == 105);
}

TEST_CASE("a failed save leaves the checkpoint that was there") {
  const scratch_folder dir;
  write_one<model>(dir.at("c"), sp::dtype::f32);
  const std::string before = bytes_of_file(dir, "c");
  const auto listing = dir.names();
  CHECK_THROWS(sp::run(2, [&] {
    model m;
    sp::fill(m, [](std::string_view, long) { return 0.0; });
    std::optional<io::atomic_folder> out;
    if (sp::first_rank()) out.emplace(dir.at("c"));
    io::save_weights(sp::parameters(m), out ? &out->add("model.safetensors") : nullptr);
    if (out) throw sp::error(sp::code::io_failed, "the power went.", "wait.");
  }));
  CHECK(bytes_of_file(dir, "c") == before);
  CHECK(dir.names() == listing);
}
