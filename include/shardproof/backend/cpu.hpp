#pragma once
/// @file
/// The CPU as a device. Exactly one .cpp of a program includes this header; including it is all that is needed.
///
///     #include <shardproof/backend/cpu.hpp>                  // registers device `cpu`
///     std::printf("%zu bytes at most\n", sp::cpu_memory().peak);
///
/// Matrix products are the library's own where they were measured to be faster than Eigen's, which is everywhere so far, or Eigen's
/// on request (cpu/product.hpp); Eigen is needed in that case alone.
/// Compile that .cpp with -O3 and -march=native, or for the processors you have in mind: the kernels are as wide
/// as the compiler may assume. Each rank is a thread that calls the same object; a kernel uses that thread alone, so results
/// depend neither on the number of ranks nor on the alignment of buffers.
#include <shardproof/backend/cpu/activation.hpp>
#include <shardproof/backend/cpu/attention.hpp>
#include <shardproof/backend/cpu/attention_backward.hpp>
#include <shardproof/backend/cpu/cross_entropy.hpp>
#include <shardproof/backend/cpu/dropout.hpp>
#include <shardproof/backend/cpu/elementwise.hpp>
#include <shardproof/backend/cpu/grouped.hpp>
#include <shardproof/backend/cpu/matmul.hpp>
#include <shardproof/backend/cpu/memory.hpp>
#include <shardproof/backend/cpu/norm.hpp>
#include <shardproof/backend/cpu/optimizer.hpp>
#include <shardproof/backend/cpu/rotate.hpp>
#include <shardproof/backend/cpu/route.hpp>
#include <shardproof/backend/cpu/rows.hpp>
#include <shardproof/backend/cpu/table.hpp>
#include <shardproof/runtime/backend.hpp>
namespace shardproof {

/// Stateless but for the lists of free blocks that every thread has of its own.
class cpu_backend final : public backend {
 public:
  const char* name() const override { return "cpu"; }

  void* allocate(std::size_t bytes) override {
    void* const p = cpu::take(bytes);
    auto& count = cpu::tensor_bytes;
    count.current += long(bytes);
    count.peak = std::max(count.peak, count.current);
    return p;
  }
  void release(void* p, std::size_t bytes) override {
    if (!p) return;
    cpu::give(p, bytes);
    cpu::tensor_bytes.current -= long(bytes);
  }
  double peak_bytes() const override { return double(cpu_memory().peak); }
  bool host_memory() const override { return true; }
  void to_host(void* host, const view& from) override { if (from.count()) std::memcpy(host, from.p, from.bytes()); }
  void from_host(const view& to, const void* host) override { if (to.count()) std::memcpy(to.p, host, to.bytes()); }

  void fill(const view& y, double value) override { cpu::fill(y, value); }
  void cast(const view& y, const view& x) override { cpu::cast(y, x); }
  void add(const view& y, const view& a, const view& b) override { cpu::add(y, a, b); }
  void multiply(const view& y, const view& a, const view& b) override { cpu::multiply(y, a, b); }
  void multiply_backward(const view& da, const view& db, const view& dy, const view& a, const view& b) override {
    cpu::multiply_backward(da, db, dy, a, b);
  }
  void accumulate(const view& y, const view& x, double scale) override { cpu::accumulate(y, x, scale); }
  void apply(unary f, const view& y, const view& x, double p) override { cpu::apply(f, y, x, p); }
  void apply_backward(unary f, const view& dx, const view& dy, const view& x, const view& y, double p) override {
    cpu::apply_backward(f, dx, dy, x, y, p);
  }
  void copy(const copy_args& a) override { cpu::copy(a); }
  void place(const place_args& a) override { cpu::place(a); }
  void dropout(const dropout_args& a) override { cpu::dropout(a); }
  void matmul(const matmul_args& a) override { cpu::matmul(a); }

  void group_ids(const group_args& a) override { cpu::group_ids(a); }
  void grouped_matmul(const grouped_args& a) override { cpu::grouped_matmul(a); }
  void grouped_outer(const grouped_args& a) override { cpu::grouped_outer(a); }
  void grouped_add(const view& y, const view& x, const view& b, const view& offsets) override { cpu::grouped_add(y, x, b, offsets); }
  void grouped_sum(const view& db, const view& dy, const view& offsets) override { cpu::grouped_sum(db, dy, offsets); }

  void rms_norm(const view& y, const view& x, const view& w, double eps, double offset) override { cpu::rms_norm(y, x, w, eps, offset); }
  void rms_norm_backward(const view& dx, const view& dw, const view& dy, const view& x, const view& w, double eps, double offset) override {
    cpu::rms_norm_backward(dx, dw, dy, x, w, eps, offset);
  }
  void layer_norm(const view& y, const view& x, const view& w, const view& b, double eps) override { cpu::layer_norm(y, x, w, b, eps); }
  void layer_norm_backward(const view& dx, const view& dw, const view& db, const view& dy, const view& x, const view& w, double eps) override {
    cpu::layer_norm_backward(dx, dw, db, dy, x, w, eps);
  }

  void scale_rows(const view& y, const view& x, const view& s, bool accumulate) override { cpu::scale_rows(y, x, s, accumulate); }
  void row_dot(const view& s, const view& a, const view& b, double by) override { cpu::row_dot(s, a, b, by); }

  void rotate(const rotate_args& a) override { cpu::rotate(a); }
  void attention(const attention_args& a) override { cpu::attention(a); }
  void attention_backward(const attention_args& a) override { cpu::attention_backward(a); }

  long first_outside(const view& ids, long from, long to) override { return cpu::first_outside(ids, from, to); }
  void gather_rows(const view& y, const view& table, const view& ids, long first) override { cpu::gather_rows(y, table, ids, first); }
  void scatter_rows(const view& dtable, const view& dy, const view& ids, long first, long padding) override {
    cpu::scatter_rows(dtable, dy, ids, first, padding);
  }

  void route(const route_args& a) override { cpu::route(a); }
  void route_backward(const route_args& a) override { cpu::route_backward(a); }

  void row_max(const view& top, const view& logits) override { cpu::row_max(top, logits); }
  void row_exp_sum(const view& sum, const view& hit, const view& logits, const view& top, const view& labels, long first) override {
    cpu::row_exp_sum(sum, hit, logits, top, labels, first);
  }
  void loss_sum(const view& total, const view& sum, const view& hit, const view& labels) override { cpu::loss_sum(total, sum, hit, labels); }
  void loss_mean(const view& loss, const view& factor, const view& total, double scale, double tokens) override {
    cpu::loss_mean(loss, factor, total, scale, tokens);
  }
  void cross_entropy_backward(const view& dlogits, const view& logits, const view& top, const view& sum, const view& labels, long first, const view& factor,
                              const view& dloss) override {
    cpu::cross_entropy_backward(dlogits, logits, top, sum, labels, first, factor, dloss);
  }
  void row_argmax(const view& index, const view& value, const view& x, long first) override { cpu::row_argmax(index, value, x, first); }

  void sum_of_squares(const view& into, const view& x, double by) override { cpu::sum_of_squares(into, x, by); }
  void clip_factor(const view& norm, const view& factor, const view& squares, double limit) override { cpu::clip_factor(norm, factor, squares, limit); }
  double read(const view& x, long i) override { return cpu::detail::element(x, i); }
  void adamw(const adamw_args& a) override { cpu::adamw(a); }
};

namespace detail {
inline cpu_backend& the_cpu = *new cpu_backend;      // never destroyed: tensors in static variables outlive it otherwise
inline const bool cpu_is_registered = register_backend(device_kind::cpu, the_cpu);
}  // namespace detail

}  // namespace shardproof
