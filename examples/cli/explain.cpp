/// @file
/// What each rank holds and sends: parameters, collectives layer by layer, memory. From the types alone; reads no weights.
#include <cstdio>
#include <map>
#include "session.hpp"

namespace cli {
namespace {

std::string text_of(const sp::placement& p) { sp::text_line t; t << p; return std::string(t.view()); }
std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}
/// The shape of a rank's part, as the file would store it.
std::vector<std::int64_t> local_stored_shape(const sp::parameter_view& v, const sp::spot& where) {
  const sp::shape s = v.local_shape(where);
  sp::parameter_view local = v;
  std::vector<long> n(s.n, s.n + s.rank);
  local.global.n = n.data();
  return sp::io::stored_shape(local);
}

struct sent { int calls = 0; double bytes = 0; };
using by_operation = std::map<std::pair<std::string, bool>, sent>;            // operation, forward
struct watcher {
  std::vector<std::pair<std::string, by_operation>> layers;                   // in the order of the forward pass
  void hear(const sp::charge_event& e) {
    by_operation* at = nullptr;
    for (auto& [name, ops] : layers) if (name == e.layer) at = &ops;
    if (!at) at = &layers.emplace_back(e.layer, by_operation{}).second;
    sent& s = (*at)[{sp::name_of(e.what), e.forward}];
    ++s.calls;
    s.bytes += e.bytes;
  }
};
double mib(double bytes) { return bytes / 1048576; }

}  // namespace

answer explain(const common_options& common, const explain_options& o) {
  if (o.batch < 1 || o.sequence < 1) throw sp::error(sp::code::usage, "--batch and --seq are at least 1.", "pass positive numbers.");
  const session s(common, o.folder);
  const int w = common.tp;
  sp::self.where = sp::spot{{}, {w, 1, 1}};                // rank 0 of an imagined mesh; nothing is communicated
  const auto lm = s.model();
  const auto all = lm->parameters();
  const sp::dtype type = s.type.value_or(s.config.stored);
  watcher heard;
  sp::ledger step, decode;
  {
    const sp::dry dry;
    for (const auto& v : all) {
      sp::require_dealable(v, w);
      *v.at = sp::leaf(type, v.local_shape(sp::self.where));
      (*v.at)->tracked = !v.buffer && !v.frozen;
    }
    sp::self.book = &step;
    sp::self.watch = [](void* h, const sp::charge_event& e) { static_cast<watcher*>(h)->hear(e); };
    sp::self.watcher = &heard;
    sp::cache off{sp::cache::options{.on = false}};
    const auto imagined_ids = [](long b, long t) {
      sp::sizes_of<sp::dims<sp::batch, sp::seq>> size{b, t};
      return sp::token_ids{size, sp::leaf(sp::dtype::i64, {b, t})};
    };
    const auto ids = imagined_ids(o.batch, o.sequence);
    (void)sp::cross_entropy(lm->forward(ids, off), sp::next_tokens(ids));
    sp::self.watch = nullptr;
    sp::self.book = &decode;
    sp::self.tape = false;
    sp::cache kv;
    (void)lm->forward(ids, kv);
    sp::self.tape = true;
    sp::self.book = nullptr;
  }
  double weights = 0, trained = 0;
  for (const auto& v : all) {
    weights += double(v.local_bytes(sp::self.where, type));
    if (!v.buffer) trained += v.local_count(sp::self.where);
  }
  const double gradient = trained * double(sp::bytes_of(sp::compute_type(type)));
  const double moments = 2 * gradient + (type == sp::compute_type(type) ? 0 : gradient);
  const std::vector<std::string> notes = lm->notes();
  if (common.json) {
    using tree = sp::io::json_tree;
    auto doc = tree::object();
    doc.set("model_type", std::string(s.config.model_type));
    doc.set("tp", w);
    auto plan = tree::object();
    for (const auto& [pattern, style] : lm->plan()) plan.set(pattern, style);
    doc.set("plan", std::move(plan));
    auto parameters = tree::array();
    for (const auto& v : all) {
      auto p = tree::object();
      p.set("name", v.name);
      auto shape = tree::array();
      for (auto n : sp::io::stored_shape(v)) shape.push(long(n));
      p.set("shape", std::move(shape));
      p.set("style", v.style);
      p.set("placement", text_of(v.place.on[0]));
      auto ranks = tree::array();
      for (int r = 0; r < w; ++r) {
        const sp::spot where{{r, 0, 0}, {w, 1, 1}};
        auto one = tree::object();
        auto local = tree::array();
        for (auto n : local_stored_shape(v, where)) local.push(long(n));
        one.set("shape", std::move(local));
        one.set("bytes", long(v.local_bytes(where, type)));
        ranks.push(std::move(one));
      }
      p.set("ranks", std::move(ranks));
      parameters.push(std::move(p));
    }
    doc.set("parameters", std::move(parameters));
    auto layers = tree::array();
    for (const auto& [name, ops] : heard.layers) {
      auto l = tree::object();
      l.set("layer", name);
      auto list = tree::array();
      for (const auto& [key, what] : ops) {
        auto c = tree::object();
        c.set("operation", key.first);
        c.set("direction", key.second ? "forward" : "backward");
        c.set("calls", what.calls);
        c.set("bytes", long(what.bytes));
        list.push(std::move(c));
      }
      l.set("collectives", std::move(list));
      layers.push(std::move(l));
    }
    doc.set("layers", std::move(layers));
    auto memory = tree::object();
    memory.set("batch", o.batch);
    memory.set("sequence", o.sequence);
    memory.set("weights", long(weights));
    memory.set("gradients", long(gradient));
    memory.set("optimizer", long(moments));
    memory.set("activations", long(step.activation_bytes));
    memory.set("kv_cache", long(decode.cache_bytes));
    doc.set("memory_bytes_of_rank_0", std::move(memory));
    doc.set("flop_forward", step.forward.flops);
    doc.set("flop_backward", step.backward.flops);
    doc.set("schedule", std::to_string(step.schedule));
    auto list = tree::array();
    for (const auto& n : notes) list.push(n);
    doc.set("notes", std::move(list));
    std::printf("%s\n", doc.pretty().c_str());
  } else {
    std::printf("%s, %zu parameters, tp = %d\n\n%-52s %-16s %-30s %-20s %-16s %s\n", std::string(s.config.model_type).c_str(), all.size(), w, "parameter", "shape", "style", "placement", "rank 0", "KiB of rank 0");
    for (const auto& v : all)
      std::printf("%-52s %-16s %-30s %-20s %-16s %.1f\n", v.name.c_str(), text_of(sp::io::stored_shape(v)).c_str(), v.style, text_of(v.place.on[0]).c_str(), text_of(local_stored_shape(v, sp::self.where)).c_str(), double(v.local_bytes(sp::self.where, type)) / 1024);
    std::printf("\ncollectives of a training step, batch %ld, sequence %ld\n", o.batch, o.sequence);
    if (heard.layers.empty()) std::printf("  none\n");
    for (const auto& [name, ops] : heard.layers)
      for (const auto& [key, what] : ops)
        std::printf("  %-52s %-8s %3d x %-15s %10.1f KiB\n", name.c_str(), key.second ? "forward" : "backward", what.calls, key.first.c_str(), what.bytes / 1024);
    std::printf("  in all: %d forward, %d backward\n", step.forward.collectives(), step.backward.collectives());
    std::printf("\nmemory of rank 0, MiB: weights %.2f, gradients %.2f, optimizer %.2f, activations %.2f, KV cache of %ld tokens %.2f\n", mib(weights), mib(gradient), mib(moments), mib(step.activation_bytes), o.batch * o.sequence, mib(decode.cache_bytes));
  }
  for (const auto& v : all) *v.at = {};
  sp::self.where = {};
  return answer::done;
}

}  // namespace cli
