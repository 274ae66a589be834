/// @file
/// What each rank holds and sends: parameters, collectives layer by layer, memory. From the types alone; reads no weights.
#include <cstdio>
#include <shardproof/report/explanation.hpp>
#include "session.hpp"

namespace cli {
namespace {

std::string text_of(const sp::placement& p) {
  sp::text_line t;
  t << p;
  return std::string(t.view());
}
std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}
double mib(double bytes) { return bytes / 1048576; }

using tree = sp::io::json_tree;
tree list_of(const std::vector<std::int64_t>& shape) {
  auto out = tree::array();
  for (const auto n : shape) out.push(long(n));
  return out;
}
tree tree_of(const sp::explained_parameter& p) {
  auto out = tree::object();
  out.set("name", p.name);
  out.set("shape", list_of(p.shape));
  out.set("style", p.style);
  out.set("placement", text_of(p.place));
  auto ranks = tree::array();
  for (const auto& r : p.ranks) {
    auto one = tree::object();
    one.set("shape", list_of(r.shape));
    one.set("bytes", long(r.bytes));
    ranks.push(std::move(one));
  }
  out.set("ranks", std::move(ranks));
  return out;
}
/// One entry a layer, in the order of the forward pass.
tree tree_of(const std::vector<sp::explained_collective>& all) {
  auto out = tree::array();
  for (std::size_t i = 0; i < all.size();) {
    auto layer = tree::object();
    layer.set("layer", all[i].layer);
    auto list = tree::array();
    for (const std::string name = all[i].layer; i < all.size() && all[i].layer == name; ++i) {
      auto c = tree::object();
      c.set("operation", sp::name_of(all[i].what));
      c.set("direction", all[i].forward ? "forward" : "backward");
      c.set("calls", all[i].calls);
      c.set("bytes", long(all[i].bytes));
      list.push(std::move(c));
    }
    layer.set("collectives", std::move(list));
    out.push(std::move(layer));
  }
  return out;
}
void print_json(const std::string& model_type, const sp::explanation& e) {
  auto doc = tree::object();
  doc.set("model_type", model_type);
  doc.set("tp", e.mesh.tp);
  auto plan = tree::object();
  for (const auto& [pattern, style] : e.plan) plan.set(pattern, style);
  doc.set("plan", std::move(plan));
  auto parameters = tree::array();
  for (const auto& p : e.parameters) parameters.push(tree_of(p));
  doc.set("parameters", std::move(parameters));
  doc.set("layers", tree_of(e.collectives));
  auto memory = tree::object();
  memory.set("batch", e.step_tokens.n[0]);
  memory.set("sequence", e.step_tokens.n[1]);
  memory.set("weights", long(e.memory.weights));
  memory.set("gradients", long(e.memory.gradients));
  memory.set("optimizer", long(e.memory.optimizer));
  memory.set("activations", long(e.memory.activations));
  memory.set("kv_cache", long(e.memory.kv_cache));
  doc.set("memory_bytes_of_rank_0", std::move(memory));
  doc.set("flop_forward", e.step.forward.flops);
  doc.set("flop_backward", e.step.backward.flops);
  doc.set("schedule", std::to_string(e.step.schedule));
  auto notes = tree::array();
  for (const auto& n : e.notes) notes.push(n);
  doc.set("notes", std::move(notes));
  std::printf("%s\n", doc.pretty().c_str());
}
void print_text(const std::string& model_type, const sp::explanation& e) {
  const long batch = e.step_tokens.n[0], sequence = e.step_tokens.n[1];
  std::printf("%s, %zu parameters, tp = %d\n\n%-52s %-16s %-30s %-20s %-16s %s\n", model_type.c_str(), e.parameters.size(), e.mesh.tp,
              "parameter", "shape", "style", "placement", "rank 0", "KiB of rank 0");
  for (const auto& p : e.parameters)
    std::printf("%-52s %-16s %-30s %-20s %-16s %.1f\n", p.name.c_str(), text_of(p.shape).c_str(), p.style.c_str(),
                text_of(p.place).c_str(), text_of(p.ranks[0].shape).c_str(), double(p.ranks[0].bytes) / 1024);
  std::printf("\ncollectives of a training step, batch %ld, sequence %ld\n", batch, sequence);
  if (e.collectives.empty()) std::printf("  none\n");
  for (const auto& c : e.collectives)
    std::printf("  %-52s %-8s %3d x %-15s %10.1f KiB\n", c.layer.c_str(), c.forward ? "forward" : "backward", c.calls,
                sp::name_of(c.what), c.bytes / 1024);
  std::printf("  in all: %d forward, %d backward\n", e.step.forward.collectives(), e.step.backward.collectives());
  std::printf(
      "\nmemory of rank 0, MiB: weights %.2f, gradients %.2f, optimizer %.2f, activations %.2f, KV cache of %ld tokens %.2f\n",
      mib(e.memory.weights), mib(e.memory.gradients), mib(e.memory.optimizer), mib(e.memory.activations), batch * sequence,
      mib(e.memory.kv_cache));
}

}  // namespace

answer explain(const common_options& common, const explain_options& o) {
  if (o.batch < 1 || o.sequence < 1)
    throw sp::error(sp::code::usage, "--batch and --seq are at least 1.", "pass positive numbers.");
  const session s(common, o.folder, session::weights::unread);
  s.say();
  sp::self.where = sp::spot{{}, {common.tp, 1, 1}};  // rank 0 of an imagined mesh; nothing is communicated
  const auto lm = s.model();
  sp::self.where = {};
  const auto e = sp::explain(*lm, sp::ranks{common.tp}, sp::tokens{o.batch, o.sequence}, s.type.value_or(s.config.stored));
  const std::string model_type(s.config.model_type);
  if (common.json) print_json(model_type, e);
  else print_text(model_type, e);
  return answer::done;
}

}  // namespace cli
