#pragma once
/// @file
/// cuBLASLt: a rank's handle and workspace, a product as its descriptors, and its answers as the library's errors.
///
///     cuda::detail::lt_state& s = cuda::detail::own_lt();  // of this rank's queue
///     cuda::detail::lt_problem what(p);                    // descriptors of a product (product_plan.hpp), made once a shape
///     cuda::detail::check_lt(cublasLtMatmul(...), "a product", p);
///
/// A workspace belongs to one queue, since two products that shared one would meet in it; it is taken from the pool when an algorithm
/// first wants it, and kept (32 MiB, what Hopper's kernels ask for).
#include <memory>
#include <mutex>
#include <unordered_map>
#include <cublasLt.h>
#include <shardproof/backend/cuda/product_plan.hpp>
#include <shardproof/backend/cuda/memory.cuh>
namespace shardproof::cuda {

[[noreturn]] inline void refuse_lt(cublasStatus_t s, const char* what, const std::string& problem) {
  throw error(code::device_failed,
              std::string("device cuda failed at ") + what + ": " + cublasLtGetStatusName(s) + (problem.empty() ? "" : ", in ") + problem + ".",
              s == CUBLAS_STATUS_NOT_INITIALIZED || s == CUBLAS_STATUS_ALLOC_FAILED
                  ? "free memory of the device: use more ranks, a smaller batch, or fewer positions."
                  : "read the first error of any rank; run with CUBLASLT_LOG_LEVEL=1 if it is this one.");
}
/// @error SP506 with the status and the product.
inline void check_lt(cublasStatus_t s, const char* what, const product& p) {
  if (s != CUBLAS_STATUS_SUCCESS) [[unlikely]] refuse_lt(s, what, describe(p));
}

namespace detail {

constexpr cudaDataType_t lt_type(dtype t) { return t == dtype::f64 ? CUDA_R_64F : t == dtype::bf16 ? CUDA_R_16BF : t == dtype::f16 ? CUDA_R_16F : CUDA_R_32F; }
constexpr cublasComputeType_t lt_arithmetic(arithmetic a) {
  return a == arithmetic::f64 ? CUBLAS_COMPUTE_64F : a == arithmetic::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}
constexpr cublasLtEpilogue_t lt_epilogue(epilogue e) {
  constexpr cublasLtEpilogue_t all[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS};
  return all[int(e)];
}

/// The descriptors of a product.
class lt_problem {
 public:
  cublasLtMatmulDesc_t what = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;

  explicit lt_problem(const product& p) {
    check_lt(cublasLtMatmulDescCreate(&what, lt_arithmetic(p.how), p.result == dtype::f64 ? CUDA_R_64F : CUDA_R_32F), "the description of a product", p);
    say(CUBLASLT_MATMUL_DESC_TRANSA, first_of(p).transposed ? CUBLAS_OP_T : CUBLAS_OP_N, p);
    say(CUBLASLT_MATMUL_DESC_TRANSB, second_of(p).transposed ? CUBLAS_OP_T : CUBLAS_OP_N, p);
    if (p.after != epilogue::none) say(CUBLASLT_MATMUL_DESC_EPILOGUE, lt_epilogue(p.after), p);
    first = layout(first_of(p), p.operands, p);
    second = layout(second_of(p), p.operands, p);
    result = layout(result_of(p), p.result, p);
  }
  lt_problem(const lt_problem&) = delete;
  lt_problem& operator=(const lt_problem&) = delete;
  ~lt_problem() {
    for (const cublasLtMatrixLayout_t l : {first, second, result})
      if (l) (void)cublasLtMatrixLayoutDestroy(l);
    if (what) (void)cublasLtMatmulDescDestroy(what);
  }
  template <class V> void say(cublasLtMatmulDescAttributes_t which, V value, const product& p) {
    check_lt(cublasLtMatmulDescSetAttribute(what, which, &value, sizeof value), "the description of a product", p);
  }

 private:
  static cublasLtMatrixLayout_t layout(const column_major& x, dtype t, const product& p) {
    cublasLtMatrixLayout_t l = nullptr;
    check_lt(cublasLtMatrixLayoutCreate(&l, lt_type(t), std::uint64_t(x.rows), std::uint64_t(x.columns), x.ld), "the layout of a matrix", p);
    return l;
  }
};

/// How a product is computed: plain data, good on every device of a kind.
struct lt_choice {
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};
/// A problem that this rank has met, with its descriptors.
struct lt_known {
  lt_problem problem;
  lt_choice choice{};
  explicit lt_known(const product& p) : problem(p) {}
};

inline constexpr std::size_t lt_workspace_bytes = std::size_t(32) << 20;
struct lt_state {
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::uint64_t kind = 0;                                ///< equal on devices of one kind
  std::unordered_map<product_key, std::unique_ptr<lt_known>, hash_of_key> known;
};

inline lt_state* make_lt(const queue& q) {
  auto s = std::make_unique<lt_state>();
  if (const cublasStatus_t e = cublasLtCreate(&s->handle); e != CUBLAS_STATUS_SUCCESS) refuse_lt(e, "the start of cuBLASLt", "");
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, q.device), "the device's properties");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, q.device), "the device's properties");
  s->kind = std::uint64_t(major) << 40 | std::uint64_t(minor) << 32 | std::uint64_t(q.processors);
  return s.release();
}
/// By queue, since queues go from thread to thread. Never destroyed, as the driver may be gone before it would be.
struct all_lt_states {
  std::mutex lock;
  std::unordered_map<const queue*, lt_state*> of;
};
inline lt_state& own_lt() {
  static thread_local const queue* whose = nullptr;
  static thread_local lt_state* state = nullptr;
  const queue& q = own_queue();
  if (whose == &q) [[likely]] return *state;
  static all_lt_states& all = *new all_lt_states;
  const std::lock_guard lock(all.lock);
  lt_state*& s = all.of[&q];
  if (!s) s = make_lt(q);
  whose = &q;
  return *(state = s);
}

/// The workspace for one product. A captured step has one of its own, since it may run beside what is queued now.
class lt_workspace {
  void* p_ = nullptr;
  std::size_t of_step_ = 0;

 public:
  lt_workspace(lt_state& s, std::size_t bytes) {
    if (bytes == 0) return;
    const queue& q = own_queue();
    if (q.capture) p_ = take(of_step_ = bytes);
    else {
      if (!s.workspace) check(cudaMallocFromPoolAsync(&s.workspace, lt_workspace_bytes, q.pool, q.stream), "the workspace of matrix products");
      p_ = s.workspace;
    }
  }
  lt_workspace(const lt_workspace&) = delete;
  lt_workspace& operator=(const lt_workspace&) = delete;
  ~lt_workspace() {
    if (of_step_) give(p_, of_step_);
  }
  void* get() const { return p_; }
};

}  // namespace detail

}  // namespace shardproof::cuda
