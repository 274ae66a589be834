#pragma once
/// @file
/// A GPU as a device. Exactly one .cu of a program includes this header; including it is all that is needed.
///
///     #include <shardproof/backend/cuda.cuh>               // registers device `cuda`; link CUDA::cudart and CUDA::cublasLt
///     sp::run({.mesh = {.tp = 2}, .device = sp::device_kind::cuda}, [] { ... });
///
/// Models, plans and `forward` do not change, and are compiled by any C++ compiler: nvcc sees this header alone. Every rank has a
/// stream of its own; ranks of one process share a device where there are fewer devices than ranks. Nothing waits for the device
/// but `to_host`, `read` and `synchronize`. Sums are made in an order that depends on shapes only, so that equal ranks have equal bits.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "shardproof: device cuda is for Ampere and later. Fix: compile with -arch=native, or -arch=sm_80 and above (CMAKE_CUDA_ARCHITECTURES)."
#endif
#include <shardproof/backend/cuda/activation.cuh>
#include <shardproof/backend/cuda/attention.cuh>
#include <shardproof/backend/cuda/attention_backward.cuh>
#include <shardproof/backend/cuda/capture.cuh>
#include <shardproof/backend/cuda/copy.cuh>
#include <shardproof/backend/cuda/cross_entropy.cuh>
#include <shardproof/backend/cuda/dropout.cuh>
#include <shardproof/backend/cuda/elementwise.cuh>
#include <shardproof/backend/cuda/grouped.cuh>
#include <shardproof/backend/cuda/grouped_matmul.cuh>
#include <shardproof/backend/cuda/matmul.cuh>
#include <shardproof/backend/cuda/memory.cuh>
#include <shardproof/backend/cuda/norm.cuh>
#include <shardproof/backend/cuda/optimizer.cuh>
#include <shardproof/backend/cuda/peers.cuh>
#include <shardproof/backend/cuda/place.cuh>
#include <shardproof/backend/cuda/rotate.cuh>
#include <shardproof/backend/cuda/route.cuh>
#include <shardproof/backend/cuda/rows.cuh>
#include <shardproof/backend/cuda/table.cuh>
#include <shardproof/runtime/backend.hpp>
namespace shardproof {

/// Each rank's state is its queue's; see backend/cuda/queue.cuh.
class cuda_backend final : public backend {
 public:
  const char* name() const override { return "cuda"; }
  void require() override {
    (void)cuda::own_queue();
    (void)cuda::products_in_use();                       // what the environment says of them is refused at the start
    (void)cuda::products_are_tuned();
  }

  void* allocate(std::size_t bytes) override { return cuda::take(bytes ? bytes : 1); }      // a block has an address, however small
  void release(void* p, std::size_t bytes) override { cuda::give(p, bytes ? bytes : 1); }
  double peak_bytes() const override { return double(cuda::own_queue().peak); }
  double available_bytes() const override { return cuda::available_bytes(); }
  void to_host(void* host, const view& from) override {
    cuda::download(host, from);
    cuda::report_bad_ids();
  }
  void from_host(const view& to, const void* host) override {
    cuda::note_upload(to, host);
    cuda::upload(to, host);
  }
  void synchronize() override {
    cuda::wait();
    cuda::report_bad_ids();
  }

  void fill(const view& y, double value) override { cuda::fill(y, value); }
  void cast(const view& y, const view& x) override { cuda::cast(y, x); }
  void add(const view& y, const view& a, const view& b) override { cuda::add(y, a, b); }
  void multiply(const view& y, const view& a, const view& b) override { cuda::multiply(y, a, b); }
  void multiply_backward(const view& da, const view& db, const view& dy, const view& a, const view& b) override {
    cuda::multiply_backward(da, db, dy, a, b);
  }
  void accumulate(const view& y, const view& x, double scale) override { cuda::accumulate(y, x, scale); }
  void apply(unary f, const view& y, const view& x, double p) override { cuda::apply(f, y, x, p); }
  void apply_backward(unary f, const view& dx, const view& dy, const view& x, const view& y, double p) override {
    cuda::apply_backward(f, dx, dy, x, y, p);
  }
  void copy(const copy_args& a) override { cuda::copy(a); }
  void place(const place_args& a) override { cuda::place(a); }
  void dropout(const dropout_args& a) override { cuda::dropout(a); }
  void matmul(const matmul_args& a) override { cuda::matmul(a); }

  void group_ids(const group_args& a) override { cuda::group_ids(a); }
  void grouped_matmul(const grouped_args& a) override { cuda::grouped_matmul(a); }
  void grouped_outer(const grouped_args& a) override { cuda::grouped_outer(a); }
  void grouped_add(const view& y, const view& x, const view& b, const view& offsets) override { cuda::grouped_add(y, x, b, offsets); }
  void grouped_sum(const view& db, const view& dy, const view& offsets) override { cuda::grouped_sum(db, dy, offsets); }

  void rms_norm(const view& y, const view& x, const view& w, double eps, double offset) override { cuda::rms_norm(y, x, w, eps, offset); }
  void rms_norm_backward(const view& dx, const view& dw, const view& dy, const view& x, const view& w, double eps, double offset) override {
    cuda::rms_norm_backward(dx, dw, dy, x, w, eps, offset);
  }
  void layer_norm(const view& y, const view& x, const view& w, const view& b, double eps) override { cuda::layer_norm(y, x, w, b, eps); }
  void layer_norm_backward(const view& dx, const view& dw, const view& db, const view& dy, const view& x, const view& w, double eps) override {
    cuda::layer_norm_backward(dx, dw, db, dy, x, w, eps);
  }

  void scale_rows(const view& y, const view& x, const view& s, bool accumulate) override { cuda::scale_rows(y, x, s, accumulate); }
  void row_dot(const view& s, const view& a, const view& b, double by) override { cuda::row_dot(s, a, b, by); }

  void rotate(const rotate_args& a) override { cuda::rotate(a); }
  void attention(const attention_args& a) override { cuda::attention(a); }
  void attention_backward(const attention_args& a) override { cuda::attention_backward(a); }

  long first_outside(const view& ids, long from, long to) override { return cuda::first_outside(ids, from, to); }
  void gather_rows(const view& y, const view& table, const view& ids, long first) override { cuda::gather_rows(y, table, ids, first); }
  void scatter_rows(const view& dtable, const view& dy, const view& ids, long first, long padding) override {
    cuda::scatter_rows(dtable, dy, ids, first, padding);
  }

  void route(const route_args& a) override { cuda::route(a); }
  void route_backward(const route_args& a) override { cuda::route_backward(a); }

  void row_max(const view& top, const view& logits) override { cuda::row_max(top, logits); }
  void row_exp_sum(const view& sum, const view& hit, const view& logits, const view& top, const view& labels, long first) override {
    cuda::row_exp_sum(sum, hit, logits, top, labels, first);
  }
  void loss_sum(const view& total, const view& sum, const view& hit, const view& labels) override { cuda::loss_sum(total, sum, hit, labels); }
  void loss_mean(const view& loss, const view& factor, const view& total, double scale, double tokens) override {
    cuda::loss_mean(loss, factor, total, scale, tokens);
  }
  void cross_entropy_backward(const view& dlogits, const view& logits, const view& top, const view& sum, const view& labels, long first, const view& factor,
                              const view& dloss) override {
    cuda::cross_entropy_backward(dlogits, logits, top, sum, labels, first, factor, dloss);
  }
  void row_argmax(const view& index, const view& value, const view& x, long first) override { cuda::row_argmax(index, value, x, first); }

  void sum_of_squares(const view& into, const view& x, double by) override { cuda::sum_of_squares(into, x, by); }
  void clip_factor(const view& norm, const view& factor, const view& squares, double limit) override { cuda::clip_factor(norm, factor, squares, limit); }
  double read(const view& x, long i) override {
    const double value = cuda::read(x, i);
    cuda::report_bad_ids();
    return value;
  }
  void adamw(const adamw_args& a) override { cuda::adamw(a); }

  bool captures() const override { return true; }
  std::vector<std::uint64_t> watch_uploads(bool on) override { return cuda::watch_uploads(on); }
  bool capturing() const override { return cuda::own_queue().capture != nullptr; }
  void begin_capture(bool first) override { cuda::begin_capture(first); }
  void* end_capture() override { return cuda::end_capture(); }
  void abandon_capture() override { cuda::abandon_capture(); }
  void run_captured(void* step) override { cuda::run_captured(static_cast<cuda::captured*>(step)); }
  void drop_captured(void* step) override { cuda::drop_captured(static_cast<cuda::captured*>(step)); }

  bool holds(const void* p) const override { return cuda::holds(p); }
  void* mark() override { return cuda::mark(); }
  void wait_for(void* mark) override { cuda::wait_for(mark); }
  void reduce_peers(const view& y, std::span<const void* const> from, reduction how) override { cuda::reduce_peers(y, from, how); }
  void reduce_peers_in_place(dtype t, std::span<void* const> buffers, long begin, long end, reduction how) override {
    cuda::reduce_peers_in_place(t, buffers, begin, end, how);
  }
};

namespace detail {
inline cuda_backend& the_cuda = *new cuda_backend;   // never destroyed: tensors in static variables outlive it otherwise
inline const bool cuda_is_registered = [] {
  device_link.stream = [] { return static_cast<void*>(cuda::own_queue().stream); };
  return register_backend(device_kind::cuda, the_cuda);
}();
}  // namespace detail

}  // namespace shardproof
