#pragma once
/// @file
/// Runs the kernels of users' operations on erased tensors: one node type, one forward and one backward path for all of them.
///
///     sp::ref y = sp::erased::call_user(kernels, &op, sizeof op, shape, {held, place}, operands);
///
/// Kernels are host code. On the CPU they work on the device's own blocks; on another device on copies, which is slow and right.
#include <vector>
#include <shardproof/runtime/cut.hpp>
#include <shardproof/tensor/elements.hpp>
#include <shardproof/tensor/ops/arithmetic.hpp>
namespace shardproof {

inline constexpr int max_operands = 5;

namespace erased {

/// Where a tensor's part stands in the whole.
struct part_held { slice held{}; placement place; };
/// An operand, or one of a kernel's arguments, without its element type.
struct user_operand { const ref* at = nullptr; part_held part; };
struct user_block { void* p = nullptr; shape s; part_held part; };

/// The kernels of one operation type for f32 and f64.
struct user_kernels {
  std::string_view name;
  int operands = 0;
  unsigned integers = 0;                               ///< bit i: operand i is of i64
  void (*compute[2])(const void* op, const user_block* y_x);
  void (*pull[2])(const void* op, const user_block* dy_y_x_dx);
  bool takes_integers(int i) const { return integers >> i & 1; }
};

/// A block of the device where host code reads and writes it.
class host_side {
  std::vector<std::byte> copy_;
  view on_device_;
  static bool is_host() { return &device() == shardproof::detail::registered_backends[int(device_kind::cpu)]; }

 public:
  enum class holds { values, nothing, zeros };
  host_side() = default;
  host_side(const view& v, holds h) : on_device_(v) {
    if (is_host()) return;
    copy_.resize(v.bytes());                           // zeros
    if (h == holds::values && v.count()) device().to_host(copy_.data(), v);
  }
  /// A block of zeros that no device knows, of v's size.
  static host_side spare(const shape& s, dtype t) {
    host_side h;
    h.copy_.resize(std::size_t(s.count()) * bytes_of(t));
    h.on_device_ = {nullptr, t, s};
    return h;
  }
  user_block block(const part_held& part) { return {copy_.empty() ? on_device_.p : copy_.data(), on_device_.s, part}; }
  void write_back() { if (!copy_.empty()) device().from_host(on_device_, copy_.data()); }
  void add_back() {
    if (copy_.empty() || !on_device_.p) return;
    const ref sum = leaf(on_device_.type, on_device_.s);
    device().from_host(sum->v(), copy_.data());
    device().accumulate(on_device_, sum->v());
  }
};

// What a node keeps for its gradient: two operands' parts in itself, the others and the operation's bytes in nodes it saves.
struct user_state { const user_kernels* k; part_held y, x[2]; };
struct more_parts { part_held x[max_operands - 2]; };
inline ref kept_bytes(const void* p, std::size_t n) {
  ref r(new node);
  std::memcpy(r->state, p, n);
  return r;
}

inline void pull_user(node& y) {
  const user_state& z = state_of<user_state>(y);
  const user_kernels& k = *z.k;
  const dtype t = y.type;
  user_block v[2 + 2 * max_operands];
  host_side host[2 + 2 * max_operands];
  int n = 0;
  const auto add = [&](host_side&& h, const part_held& part) { v[n] = (host[n] = std::move(h)).block(part); ++n; };
  const auto part_of = [&](int i) -> const part_held& { return i < 2 ? z.x[i] : state_of<more_parts>(*y.saved[0]).x[i - 2]; };
  add({y.g(), host_side::holds::values}, z.y);
  add({y.v(), host_side::holds::values}, z.y);
  for (int i = 0; i < k.operands; ++i) add({y.in[i]->v(), host_side::holds::values}, part_of(i));
  const int first_gradient = n;
  for (int i = 0; i < k.operands; ++i) {
    if (k.takes_integers(i)) continue;
    node& x = *y.in[i];
    add(x.tracked ? host_side{x.g(), host_side::holds::zeros} : host_side::spare(x.s, t), part_of(i));
  }
  k.pull[t == dtype::f64](y.saved[1] ? static_cast<const void*>(y.saved[1]->state) : &y, v);
  for (int i = first_gradient; i < n; ++i) host[i].add_back();
}

/// @error SP001 an operand is of whole numbers where the kernel takes floating ones or the reverse, or two floating types meet.
[[gnu::noinline]] inline ref call_user(const user_kernels& k, const void* op, std::size_t bytes, const shape& s,
                                       const part_held& result, const user_operand* x) {
  ref in[max_operands];
  const ref* all[max_operands];
  dtype t = dtype::f32;
  for (int i = 0, floating = 0; i < k.operands; ++i) {
    in[i] = widened(*x[i].at);
    all[i] = &in[i];
    const dtype is = in[i]->type;
    if (!k.takes_integers(i) && floating++ == 0) t = is;
    if (is != (k.takes_integers(i) ? dtype::i64 : t) || !is_float(t)) {
      text_line what, fix;
      what << "operand " << i << " of " << k.name << " is " << name_of(is) << ", but its kernels take "
           << (k.takes_integers(i) ? "I64" : is_float(t) ? name_of(t) : "F32 or F64") << " there.";
      fix << "pass another tensor, or declare that parameter of compute and pull as "
          << (k.takes_integers(i) ? "auto." : "sp::indices.");
      throw error(code::usage, what.view(), fix.view());
    }
  }
  user_state z{&k, result, {}};
  more_parts others{};
  for (int i = 0; i < k.operands; ++i) (i < 2 ? z.x[i] : others.x[i - 2]) = x[i].part;
  static_assert(sizeof z <= sizeof(node::state) && sizeof others <= sizeof(node::state));
  const ref y = shardproof::detail::record_bytes(t, s, all, k.operands, pull_user, &z, sizeof z);
  if (y->tracked) {
    if (k.operands > 2) y->saved[0] = kept_bytes(&others, sizeof others);
    if (bytes) y->saved[1] = kept_bytes(op, bytes);
  }
  if (live(y)) {
    user_block v[1 + max_operands];
    host_side host[1 + max_operands];
    v[0] = (host[0] = {y->v(), host_side::holds::nothing}).block(result);
    for (int i = 0; i < k.operands; ++i) v[1 + i] = (host[1 + i] = {in[i]->v(), host_side::holds::values}).block(x[i].part);
    k.compute[t == dtype::f64](op, v);
    host[0].write_back();
  }
  return y;
}

/// The items of the dimension that layout p cuts on tp; {0, 0} if it cuts none, or every part of a fused one.
[[gnu::noinline]] inline part_held part_of(const extents& s, const layout_value& p) {
  const cut c = cut_of(s, p, 0);
  return {c.at < 0 || c.p.k != kind::shard ? slice{} : ranges_of(c, rank_on()).at[0], p.on[0]};
}

}  // namespace erased
}  // namespace shardproof
