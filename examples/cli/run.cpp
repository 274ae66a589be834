/// @file
/// Forward of a checkpoint folder, with labels the loss, with --grad every gradient.
#include <cstdio>
#include <cstring>
#include "session.hpp"

namespace cli {
namespace {

/// A tensor of token ids out of the input file, whole.
struct id_tensor {
  std::vector<std::int64_t> values;
  long batch = 0, length = 0;
};
id_tensor read_ids(const sp::io::safetensors_file& file, const char* name) {
  const sp::io::tensor_info& t = file.at(name);
  if (t.type != sp::io::element::i64 || t.shape.size() != 2)
    throw sp::error(sp::code::wrong_shape,
                    std::string("tensor ") + name + " is " + sp::io::described(t) + " in " + file.path() + ", not I64 [B, T].",
                    "write token ids as I64 of two dimensions.");
  id_tensor out{{}, long(t.shape[0]), long(t.shape[1])};
  if (t.bytes() == 0)
    throw sp::error(
        sp::code::usage,
        std::string("tensor ") + name + " is " + sp::io::described(t) + " in " + file.path() + ": there are no tokens.",
        "give at least one row and one column.");
  out.values.resize(std::size_t(out.batch * out.length));
  if (!out.values.empty()) file.copy(t, out.values.data());
  return out;
}

/// Tensors of the input that would change the result, and that no family here reads.
void refuse_other_inputs(const sp::io::safetensors_file& file) {
  for (const char* name : {"position_ids", "inputs_embeds", "token_type_ids"})
    if (file.find(name))
      throw sp::error(sp::code::unsupported_value, std::string("tensor ") + name + " of " + file.path() + " is not supported.",
                      "leave it out: positions count from 0 in each row.");
  const auto* mask = file.find("attention_mask");
  if (!mask) return;
  const auto type = sp::io::dtype_of(mask->type);
  const std::string raw(file.bytes(*mask));
  bool whole = true;
  if (!type)
    for (const char c : raw) whole = whole && c != 0;
  else
    sp::visit(*type, [&](auto zero) {
      for (std::size_t i = 0; i + sizeof zero <= raw.size(); i += sizeof zero) {
        std::memcpy(&zero, raw.data() + i, sizeof zero);
        whole = whole && double(zero) != 0;
      }
    });
  if (!whole)
    throw sp::error(sp::code::unsupported_value,
                    "tensor attention_mask of " + file.path() + " hides tokens, and padding is not supported.",
                    "give rows of one length, without a mask.");
}

struct result_tensor {
  sp::io::tensor_entry entry;
  std::vector<float> values;
};
std::vector<float> as_floats(const std::vector<double>& v) { return {v.begin(), v.end()}; }

}  // namespace

answer run(const common_options& common, const run_options& o) {
  const session s(common, o.folder, session::weights::opened);
  const sp::io::safetensors_file input(o.input);
  const id_tensor ids = read_ids(input, "input_ids");
  refuse_other_inputs(input);
  const bool has_labels = input.find("labels") != nullptr;
  id_tensor labels;
  if (has_labels) {
    labels = read_ids(input, "labels");
    if (labels.batch != ids.batch || labels.length != ids.length)
      throw sp::error(sp::code::wrong_shape,
                      "labels are [" + std::to_string(labels.batch) + ", " + std::to_string(labels.length) + "], input_ids [" +
                          std::to_string(ids.batch) + ", " + std::to_string(ids.length) + "].",
                      "give labels the shape of input_ids.");
  }
  if (o.gradients && !has_labels)
    throw sp::error(sp::code::usage, "--grad needs a loss, and " + o.input + " has no labels.",
                    "add a tensor labels to the input, or leave --grad out.");
  const long v = s.config.vocab_size;
  for (auto i : ids.values)
    if (i < 0 || i >= v)
      throw sp::error(sp::code::usage,
                      "token id " + std::to_string(i) + " is outside the vocabulary of " + std::to_string(v) + ".",
                      "tokenize with the model's own vocabulary.");
  for (auto i : labels.values)
    if (i != -100 && (i < 0 || i >= v))
      throw sp::error(sp::code::usage, "label " + std::to_string(i) + " is outside the vocabulary of " + std::to_string(v) + ".",
                      "use -100 for positions to ignore.");

  if (has_labels) {
    bool any = false;
    for (long i = 0; i < long(labels.values.size()); ++i)
      any = any || (i % labels.length > 0 && labels.values[std::size_t(i)] != -100);
    if (!any)
      throw sp::error(sp::code::usage,
                      "tensor labels of " + o.input + " leaves no token to predict: the loss is a mean over none.",
                      "give a label that is not -100 behind the first of its row, or no labels.");
  }
  s.want_memory(o.gradients ? 2 : 1);
  // Opened before anything is computed: a place that cannot be written shows now.
  std::vector<std::string> read = s.read_files();
  read.push_back(o.input);
  refuse_overwriting("--output", o.output, read);
  std::optional<sp::io::atomic_writer> out, text;
  if (sp::first_rank()) out.emplace(o.output);
  if (!o.stats.empty()) {
    read.push_back(o.output);
    refuse_overwriting("--stats", o.stats, read);
    if (out) text.emplace(o.stats);
  }
  std::vector<result_tensor> results;
  std::vector<rank_stats> stats;
  s.run([&] {
    auto lm = s.loaded();
    const double begin = seconds_now();
    sp::ledger book;
    sp::self.book = &book;
    sp::self.tape = o.gradients;
    sp::cache off{sp::cache::options{.on = false}};
    const sp::tokens size{ids.batch, ids.length};
    const auto x = sp::input(*lm, size, ids.values);
    const auto logits = lm->forward(x, off);
    double loss_value = 0;
    if (has_labels) {
      const auto targets = sp::next_tokens(sp::input(*lm, size, labels.values));
      const auto loss = sp::cross_entropy(logits, targets);
      if (o.gradients) sp::backward(loss);
      loss_value = sp::reduced(loss).item();
    }
    sp::self.book = nullptr;
    const double seconds = seconds_now() - begin;
    const auto all = lm->parameters();
    if (o.gradients) sp::finish_gradients(all);
    rank_stats mine = stats_of(*lm, book);
    mine.seconds = seconds;
    const std::vector<rank_stats> of_all = stats_of_all(mine);
    const bool writes = sp::first_rank();
    if (writes) stats = of_all;
    const auto whole = sp::full(logits);  // detached, after the backward pass
    if (writes) {
      results.push_back(
          {{"logits", sp::io::element::f32, {ids.batch, ids.length, v}}, as_floats(sp::values(whole))});
      if (has_labels) results.push_back({{"loss", sp::io::element::f32, {}}, {float(loss_value)}});
    }
    if (o.gradients)
      for (const auto& p : all) {
        if (p.buffer) continue;
        const auto g = as_floats(sp::gathered_gradient(p));
        if (!writes) continue;
        const auto names = sp::io::names_of(p);
        auto from = g.begin();
        for (const auto& name : names) {
          const auto to = from + std::ptrdiff_t(g.size() / names.size());
          results.push_back({{"grad." + name, sp::io::element::f32, sp::io::block_shape(p)}, {from, to}});
          from = to;
        }
      }
  });
  if (!out) return answer::done;
  std::vector<sp::io::tensor_entry> entries;
  for (const auto& r : results) entries.push_back(r.entry);
  sp::io::write_safetensors(*out, entries, [&](std::size_t k, auto&& sink) {
    sink(results[k].values.data(), results[k].values.size() * sizeof(float));
  });
  if (text) {
    text->write(stats_tree(stats).pretty() + "\n");
    text->finish();
  }
  out->finish();  // both are on disk before one of them takes its place
  if (text) text->commit();
  out->commit();
  if (common.json) {
    auto doc = sp::io::json_tree::object();
    doc.set("output", o.output);
    doc.set("tp", common.tp);
    if (has_labels) doc.set("loss", double(results[1].values[0]));
    doc.set("ranks", stats_tree(stats));
    std::printf("%s\n", doc.pretty().c_str());
  } else if (has_labels) std::printf("loss %.6f\n", double(results[1].values[0]));
  return answer::done;
}

}  // namespace cli
