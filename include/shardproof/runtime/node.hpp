#pragma once
/// @file
/// A node of the tape: an erased tensor (shape, dtype, buffer) and how its gradient reaches its inputs.
///
///     sp::ref y = sp::record(sp::dtype::f32, {2, 3}, {x, w}, pull, state);   // pull(node& y) adds into y.in[i]->g()
///     sp::backward(y);
///
/// Nothing here knows dimensions' names or placements' types, so it is compiled once whatever the model.
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>
#include <shardproof/runtime/context.hpp>
namespace shardproof {

class buffer;
struct node;
/// Told, while a step is captured, which memory it makes and uses, and to whose gradients it adds.
class step_watcher {
 public:
  virtual void makes(const buffer&) = 0;
  virtual void uses(const buffer&) = 0;
  virtual void adds_to(node&) = 0;
  virtual void keeps_view_of(node&) = 0;

 protected:
  ~step_watcher() = default;
};

/// A shared block of device memory. Not thread-safe by design: a tensor lives on its rank.
class buffer {
  struct block { long uses; void* p; std::size_t bytes; backend* owner; bool host; long kept = 0; unsigned long seen = 0; };
  block* b_ = nullptr;
  void drop() {
    if (b_ && --b_->uses == 0) {
      if (b_->owner) b_->owner->release(b_->p, b_->bytes);
      if (b_->host) ::operator delete(b_->p);
      delete b_;
    }
    b_ = nullptr;
  }

 public:
  constexpr buffer() = default;
  explicit buffer(std::size_t bytes) : b_(new block{1, device().allocate(bytes), bytes, &device(), false}) {
    if (self.step) [[unlikely]] self.step->makes(*this);
  }
  /// A view of memory that somebody else owns and keeps alive (an mmap, a caller's array).
  static buffer borrowed(void* p, std::size_t bytes) { buffer b; b.b_ = new block{1, p, bytes, nullptr, false}; return b; }
  /// Memory of the host, whatever the device: counts that decide what kernels are called.
  static buffer host(std::size_t bytes) { buffer b; b.b_ = new block{1, ::operator new(bytes), bytes, nullptr, true}; return b; }
  buffer(const buffer& o) : b_(o.b_) { if (b_) ++b_->uses; }
  buffer(buffer&& o) noexcept : b_(std::exchange(o.b_, nullptr)) {}
  buffer& operator=(buffer o) noexcept { std::swap(b_, o.b_); return *this; }
  ~buffer() { drop(); }
  explicit operator bool() const { return b_ != nullptr; }
  void* get() const {
    if (!b_) return nullptr;
    if (self.step) [[unlikely]] self.step->uses(*this);
    return b_->p;
  }
  bool shared() const { return b_ && (b_->uses > 1 || !b_->owner); }
  // ---- of steps that were captured, which hold what they use (runtime/step_memory.hpp)
  /// Was that capture told of it before? It is now.
  bool seen_by(unsigned long capture) const { return std::exchange(b_->seen, capture) == capture; }
  std::size_t bytes() const { return b_ ? b_->bytes : 0; }
  bool on_device() const { return b_ && !b_->host; }
  void hold(int by) const { b_->kept += by; }
  bool only_held() const { return b_->uses == b_->kept; }
};

/// Intrusive and single-threaded; usable (empty) in constant expressions.
class ref {
  node* p_ = nullptr;

 public:
  constexpr ref() = default;
  explicit ref(node* p);
  [[gnu::noinline]] constexpr ref(const ref& o) : p_(o.p_) { if (p_) keep(); }     // noinline: a quarter less compile time
  constexpr ref(ref&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  constexpr ref& operator=(ref o) noexcept { node* t = p_; p_ = o.p_; o.p_ = t; return *this; }
  [[gnu::noinline]] constexpr ~ref() { if (p_) drop(); }
  constexpr explicit operator bool() const { return p_ != nullptr; }
  node* operator->() const { return p_; }
  node& operator*() const { return *p_; }
  node* get() const { return p_; }

 private:
  void keep() const;
  void drop() const;
};

using pull_function = void (*)(node& y);
inline constexpr int max_inputs = 6;

/// A conversion of a value that its consumers share: one all-reduce serves q, k and v. With a tape the view holds x (weak here);
/// without one x holds the view (strong here), else q, k and v would gather three times at inference.
struct shared_view { const void* target = nullptr; node* weak = nullptr; ref strong; };

struct node {
  long uses = 0;
  unsigned long id = 0;                         ///< 0: a leaf
  unsigned long visit = 0;                      ///< the last backward pass that listed it
  bool tracked = false;                         ///< wants a gradient
  bool accumulates = false;                     ///< a leaf that keeps its gradient through micro-batches: a parameter
  bool finished = false;                        ///< its gradient's pending sums are made (see finish_gradients)
  dtype type = dtype::f32;
  shape s;
  buffer data, gradient;
  buffer settled;                               ///< a finished gradient that later micro-batches are added to
  ref in[max_inputs];
  ref saved[2];                    ///< what the gradient needs beside inputs and output
  shared_view views[3];
  pull_function pull = nullptr;
  node* next_due = nullptr;                     ///< in the list of those that fall, see ref::drop
  alignas(16) std::byte state[128];             ///< plain values of the operation

  view v() const { return {data.get(), type, s}; }
  bool has_gradient() const { return bool(gradient); }
  /// The gradient, cleared when first asked for; kernels add to it.
  view g() {
    const view out = g_uninitialised();
    if (fresh_) { device().fill(out, 0); fresh_ = false; }
    return out;
  }
  /// The gradient and whether it already holds something: matrix products overwrite a fresh one instead of clearing it first.
  view g(bool& holds_something) {
    const view out = g_uninitialised();
    holds_something = !fresh_;
    fresh_ = false;
    return out;
  }
  /// Takes over a finished gradient if this node has none, else adds it: the identity backward of a reduction costs no pass.
  void add_gradient(buffer&& b, const view& values) {
    if (!gradient && !accumulates && !b.shared()) { gradient = std::move(b); fresh_ = false; }
    else device().accumulate(g(), values);
  }
  void clear_gradient() { gradient = {}; settled = {}; fresh_ = true; finished = false; }
  /// Before another backward adds to a finished gradient: what is finished is kept apart, so that only the rest is summed again.
  void reopen() {
    if (!finished) return;
    settled = std::move(gradient);
    gradient = {};
    fresh_ = true;
    finished = false;
  }
  /// Puts what was kept apart back, once the rest is summed.
  void settle() {
    if (settled) device().accumulate(g(), {settled.get(), compute_type(type), s});
    settled = {};
    finished = true;
  }
  view gradient_view() const { return {gradient.get(), compute_type(type), s}; }
  /// Lets go of inputs and saved values once the gradient has passed.
  void forget() {
    if (in[0]) for (auto& w : in[0]->views) if (w.weak == this) w = {};
    for (auto& r : in) r = {};
    for (auto& r : saved) r = {};
    pull = nullptr;
  }
  /// A changed value: conversions made of the old one are forgotten.
  void forget_views() { for (auto& w : views) w = {}; }
  ~node() { forget(); }

 private:
  bool fresh_ = true;
  view g_uninitialised() {
    const dtype t = compute_type(type);
    if (!gradient) { gradient = buffer(std::size_t(s.count()) * bytes_of(t)); fresh_ = true; }
    if (self.step && accumulates) [[unlikely]] self.step->adds_to(*this);
    return {gradient.get(), t, s};
  }
};
inline ref::ref(node* p) : p_(p) { if (p_) keep(); }
inline void ref::keep() const { ++p_->uses; }
/// A long tape that nobody walked falls node by node: those that are due wait in a list, for a chain of destructors has no end of stack.
[[gnu::noinline]] inline void ref::drop() const {
  if (--p_->uses != 0) return;
  thread_local node* due = nullptr;
  thread_local bool falling = false;
  p_->next_due = std::exchange(due, p_);
  if (falling) return;
  falling = true;
  while (due) delete std::exchange(due, due->next_due);
  falling = false;
}

/// A node without history. Its buffer is not cleared; none is made in a dry run.
[[gnu::noinline]] inline ref leaf(dtype t, const shape& s) {
  ref r(new node);
  r->type = t;
  r->s = s;
  if (!self.dry) r->data = buffer(std::size_t(s.count()) * bytes_of(t));
  return r;
}

namespace detail {
[[gnu::noinline]] inline ref record_bytes(dtype t, const shape& s, const ref* const* in, int n, pull_function pull, const void* state, std::size_t bytes) {
  ref r = leaf(t, s);
  if (!self.tape) return r;
  for (int i = 0; i < n; ++i) r->tracked = r->tracked || (*in[i] && (*in[i])->tracked);
  if (!r->tracked) return r;
  r->id = ++self.clock;
  r->pull = pull;
  for (int i = 0; i < n; ++i) r->in[i] = *in[i];
  if (bytes) std::memcpy(r->state, state, bytes);
  return r;
}
}  // namespace detail

/// The result of an operation on `in`: tracked if any of them is and there is a tape. `state` is at most 128 plain bytes.
template <class State> ref record(dtype t, const shape& s, std::initializer_list<const ref*> in, pull_function pull, const State& state) {
  static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= sizeof(node::state), "shardproof: an operation's state is at most 128 plain bytes");
  return detail::record_bytes(t, s, in.begin(), int(in.size()), pull, &state, sizeof(State));
}
inline ref record(dtype t, const shape& s, std::initializer_list<const ref*> in, pull_function pull) {
  return detail::record_bytes(t, s, in.begin(), int(in.size()), pull, nullptr, 0);
}
template <class State> State& state_of(node& y) { return *std::launder(reinterpret_cast<State*>(y.state)); }
/// Does this node hold values to compute with (not a dry run)?
inline bool live(const ref& r) { return r && (r->data || r->s.count() == 0) && !self.dry; }

/// Does x already have its shared conversion to `target`?
inline bool has_shared(const ref& x, const void* target) {
  for (const auto& w : x->views) if (w.target == target && (w.strong || w.weak)) return true;
  return false;
}
/// The one conversion of x to `target` (any address that stands for axis and kind), made at most once while it lives.
template <class F> ref shared(const ref& x, const void* target, F make) {
  for (auto& w : x->views) if (w.target == target) { if (w.strong) return w.strong; if (w.weak) return ref(w.weak); }
  ref y = make();
  for (auto& w : x->views) if (!w.weak && !w.strong) {
    w = {target, nullptr, {}};
    if (y->tracked) w.weak = y.get(); else w.strong = y;
    if (self.step) [[unlikely]] self.step->keeps_view_of(*x);
    break;
  }
  return y;
}

}  // namespace shardproof
