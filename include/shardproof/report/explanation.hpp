#pragma once
/// @file
/// What each rank of a model holds, sends and needs: from the plan and the types alone, no weight is read.
///
///     sp::explanation e = sp::explain(*lm, sp::ranks{4}, sp::tokens{1, 128}, sp::dtype::bf16);
///     for (const auto& c : e.collectives) std::printf("%s %s %.0f bytes\n", c.layer.c_str(), sp::name_of(c.what), c.bytes);
///     std::printf("%.0f bytes of weights on rank 0\n", e.memory.weights);
///
/// Host only; needs range-v3.
#include <range/v3/algorithm/find_if.hpp>
#include <range/v3/numeric/accumulate.hpp>
#include <range/v3/range/conversion.hpp>
#include <range/v3/view/filter.hpp>
#include <range/v3/view/iota.hpp>
#include <range/v3/view/transform.hpp>
#include <shardproof/io/checkpoint.hpp>
#include <shardproof/model/dry_check.hpp>
namespace shardproof {

/// One rank's part of a parameter, shaped as the checkpoint stores it.
struct explained_part {
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;
};
/// A parameter or buffer, whole and rank by rank.
struct explained_parameter {
  std::string name;
  std::vector<std::int64_t> shape;                     ///< of the whole, as the checkpoint stores it
  std::string style;
  placement place;                                     ///< on tp
  std::vector<explained_part> ranks;                   ///< of tp
};
/// All the calls of one kind that one layer makes in one direction of a training step.
struct explained_collective {
  std::string layer;
  collective what = collective::all_reduce;
  bool forward = true;
  int calls = 0;
  double bytes = 0;                                    ///< of payload, of rank 0
};
/// Bytes of rank 0, which holds the largest part.
struct explained_memory {
  double weights = 0, gradients = 0;
  double optimizer = 0;                                ///< AdamW: two moments, and an f32 master of what is stored shorter
  double activations = 0;                              ///< kept for the backward pass of the step
  double kv_cache = 0;                                 ///< of the step's tokens
};
/// What `explain` finds out.
struct explanation {
  ranks mesh;
  tokens step_tokens{1, 1};
  dtype stored = dtype::f32;
  std::vector<explained_parameter> parameters;         ///< in the order of declaration
  std::vector<explained_collective> collectives;       ///< in the order of the forward pass
  ledger step;                                         ///< a training step
  explained_memory memory;
  std::vector<std::pair<std::string, std::string>> plan;
  std::vector<std::string> notes;
};

namespace detail {
inline std::vector<std::int64_t> stored_part(const parameter_view& v, const spot& where) {
  const shape s = v.local_shape(where);
  parameter_view part = v;
  const std::vector<long> n(s.n, s.n + s.rank);
  part.global.n = n.data();
  return io::stored_shape(part);
}
inline explained_parameter explained(const parameter_view& v, ranks r, dtype stored) {
  const auto part = [&](int rank) {
    const spot where{{rank, 0, 0}, {r.tp, r.dp, 1}};
    return explained_part{stored_part(v, where), v.local_bytes(where, stored)};
  };
  return {v.name, io::stored_shape(v), v.style, v.place.on[0],
          ::ranges::views::iota(0, r.tp) | ::ranges::views::transform(part) | ::ranges::to<std::vector>()};
}

/// Adds up, while it lives, what this thread's ledger is charged.
class heard_collectives {
  decltype(self.watch) watch_before_ = self.watch;
  void* watcher_before_ = self.watcher;

 public:
  std::vector<explained_collective> all;
  heard_collectives() {
    self.watcher = &all;
    self.watch = [](void* list, const charge_event& e) {
      auto& so_far = *static_cast<std::vector<explained_collective>*>(list);
      auto at = ::ranges::find_if(so_far, [&](const auto& c) { return c.layer == e.layer && c.what == e.what && c.forward == e.forward; });
      if (at == so_far.end()) at = so_far.insert(after_its_layer(so_far, e.layer), {e.layer, e.what, e.forward, 0, 0});
      ++at->calls;
      at->bytes += e.bytes;
    };
  }
  ~heard_collectives() { self.watch = watch_before_, self.watcher = watcher_before_; }
  heard_collectives(const heard_collectives&) = delete;

 private:
  /// A layer's collectives stand together, where it was met first.
  static std::vector<explained_collective>::iterator after_its_layer(std::vector<explained_collective>& so_far, std::string_view layer) {
    auto at = ::ranges::find_if(so_far, [&](const auto& c) { return c.layer == layer; });
    while (at != so_far.end() && at->layer == layer) ++at;
    return at;
  }
};
}  // namespace detail

/// Walks the model as an imagined rank 0. `t`: the tokens of a step, and of the cache. `stored`: the dtype the weights are held in.
/// @error SP105 the ranks cannot share the model; what the plan breaks.
inline explanation explain(causal_lm& lm, ranks r, const tokens& t, dtype stored) {
  namespace rv = ::ranges::views;
  const std::vector<parameter_view> all = lm.parameters();
  explanation e;
  e.mesh = r, e.step_tokens = t, e.stored = stored;
  e.plan = lm.plan();
  e.notes = lm.notes();
  {
    detail::heard_collectives heard;
    e.step = dry_check(lm, r, t, {.type = stored});
    e.collectives = std::move(heard.all);
  }
  e.memory.kv_cache = dry_check(lm, r, t, {.training = false, .type = stored}).cache_bytes;
  e.parameters = all | rv::transform([&](const auto& v) { return detail::explained(v, r, stored); }) | ::ranges::to<std::vector>();
  e.memory.weights = ::ranges::accumulate(e.parameters | rv::transform([](const auto& p) { return double(p.ranks[0].bytes); }), 0.0);
  const double trained = ::ranges::accumulate(
      all | rv::filter([](const auto& v) { return !v.buffer && !v.frozen; }) |
          rv::transform([&](const auto& v) { return v.local_count(detail::imagined_spot(r)); }), 0.0);
  e.memory.gradients = trained * double(bytes_of(compute_type(stored)));
  e.memory.optimizer = 2 * e.memory.gradients + (stored == compute_type(stored) ? 0 : e.memory.gradients);
  e.memory.activations = e.step.activation_bytes;
  return e;
}

}  // namespace shardproof
