#pragma once
/// @file
/// AdamW over a model's parameters; its state lies as the parameters do.
///
///     sp::adamw optimizer{.lr = 1e-3};
///     optimizer.step(sp::parameters(model));                 // finishes pending gradients, clips, steps, clears the gradients
///     optimizer.step(sp::parameters(model), 3e-4);           // another rate: a schedule is the caller's
///
/// Loshchilov & Hutter, arXiv 1711.05101, as torch.optim.AdamW computes it. 16-bit parameters keep f32 masters.
#include <shardproof/model/gradients.hpp>
#include <shardproof/runtime/math.hpp>
namespace shardproof {

struct adamw {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  double clip = 0;                                       ///< limit of the gradient norm; 0: none
  bool decay_vectors = true;                             ///< as torch: norms and biases decay too; false: matrices only
  struct state { std::string name; ref first, second, master; };
  std::vector<state> states{};                           ///< one per parameter that has been stepped
  long steps = 0;

  state& state_of(const std::string& name) {
    for (std::size_t i = 0; i < states.size(); ++i) {                      // parameters come in one order, step after step
      state& s = states[next_ = (next_ + 1) % states.size()];
      if (s.name == name) return s;
    }
    next_ = states.size();
    return states.emplace_back(state{name, {}, {}, {}});
  }
  void step(const std::vector<parameter_view>& all) { step(all, lr); }
  void step(const std::vector<parameter_view>& all, double rate) {
    advance(rate);
    update(all);
  }
  /// The gradient's norm at the last step, before clipping. Waits for the device.
  double last_norm() const { return last_.norm(); }
  /// The two halves of a step. What differs from step to step is set first, so that sp::replay may run the rest again.
  void advance() { advance(lr); }
  void advance(double rate) {
    ++steps;
    const double now[] = {rate, 1 - math::pow(beta1, double(steps)), 1 - math::pow(beta2, double(steps))};
    if (!schedule_) schedule_ = leaf(dtype::f64, {3});
    device().from_host(schedule_->v(), now);
  }
  void update(const std::vector<parameter_view>& all) {
    if (!schedule_) throw error(code::usage, "the optimizer's update comes before its first advance.", "call advance(rate) before it, or step, which does both.");
    last_ = shardproof::clip(all, clip);
    for (const auto& v : all) {
      if (!detail::takes_part(v)) continue;
      node& w = **v.at;
      const dtype t = compute_type(w.type);
      state& s = state_of(v.name);
      if (!s.first) {
        s.first = leaf(t, w.s);
        s.second = leaf(t, w.s);
        device().fill(s.first->v(), 0);
        device().fill(s.second->v(), 0);
      }
      if (!(s.first->s == w.s))
        throw error(code::usage, "the optimizer's state of " + v.name + " was made on other ranks, or under another plan.", "use a new optimizer, or load its states on these ranks.");
      if (w.type != t && !s.master) { s.master = leaf(t, w.s); device().cast(s.master->v(), w.v()); }
      adamw_args a;
      a.weight = s.master ? s.master->v() : w.v();
      if (s.master) a.stored = w.v();
      a.gradient = w.g();
      a.first = s.first->v();
      a.second = s.second->v();
      a.schedule = schedule_->v();
      a.beta1 = beta1;
      a.beta2 = beta2;
      a.eps = eps;
      a.decay = decay_vectors || !(v.is_vector() || v.is_bias()) ? weight_decay : 0;
      a.gradient_scale = last_.factor();
      device().adamw(a);
      w.clear_gradient();
      w.forget_views();
    }
  }
  ref schedule_{};                                       // of the present step: the rate and two corrections, on the device
  clipping last_{};
  std::size_t next_ = 0;
};

}  // namespace shardproof
