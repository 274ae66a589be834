#pragma once
/// @file
/// cuBLASLt without a GPU: the functions that backend/cuda/lt*.cuh call, one element after the other, with the types that the
/// descriptors say. What a GPU would answer by a fault ends the program here: a leading dimension shorter than its column, an operand
/// outside of the emulated memory or not as aligned as its algorithm wants, another problem's algorithm, a workspace too small.
///
///     cublaslt_emulated::now.unsupported = 2;                          // the first two algorithms refuse to run
///     cublaslt_emulated::now.milliseconds[2] = 0.5f;                   // what events say of the third
///     CHECK(cublaslt_emulated::counts.heuristics == 1);
#include <atomic>
#include <cmath>
#include <cstring>
#include <cuda_runtime.h>
#include <library_types.h>
#include <shardproof/runtime/dtype.hpp>

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_ARCH_MISMATCH = 8,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_INTERNAL_ERROR = 14,
  CUBLAS_STATUS_NOT_SUPPORTED = 15
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_64F = 70, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };
enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_BIAS = 4, CUBLASLT_EPILOGUE_GELU = 32, CUBLASLT_EPILOGUE_GELU_BIAS = 36 };
enum cublasLtMatmulDescAttributes_t {
  CUBLASLT_MATMUL_DESC_TRANSA = 3, CUBLASLT_MATMUL_DESC_TRANSB = 4, CUBLASLT_MATMUL_DESC_EPILOGUE = 7, CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8
};
enum cublasLtMatmulPreferenceAttributes_t {
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
};
struct cublasLtContext {};
using cublasLtHandle_t = cublasLtContext*;
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  cublasLtEpilogue_t after = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
using cublasLtMatmulDesc_t = cublasLtMatmulDescOpaque_t*;
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::uint64_t rows, columns;
  std::int64_t ld;
};
using cublasLtMatrixLayout_t = cublasLtMatrixLayoutOpaque_t*;
struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace = 0;
  std::uint32_t alignment[4] = {256, 256, 256, 256};
};
using cublasLtMatmulPreference_t = cublasLtMatmulPreferenceOpaque_t*;
struct cublasLtMatmulAlgo_t { std::uint64_t data[8]; };
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  std::size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};

namespace cublaslt_emulated {

inline constexpr int algorithms = 4;
/// What a test may change.
struct behaviour {
  int proposed = algorithms;                             ///< how many the heuristic knows
  int unsupported = 0;                                   ///< so many of them refuse to run
  cublasStatus_t fails = CUBLAS_STATUS_SUCCESS;          ///< every product does
  cublasStatus_t no_handle = CUBLAS_STATUS_SUCCESS;
  float milliseconds[algorithms] = {1, 1, 1, 1};
};
inline behaviour now;
struct counters {
  std::atomic<long> handles{0}, heuristics{0}, products{0}, live{0};       ///< live: descriptors, layouts and preferences
  std::atomic<int> last{-1};                             ///< the algorithm of the last product
};
inline counters counts;

[[noreturn]] inline void wrong(const char* what) { cuda_emulated::wrong(what); }
inline std::size_t bytes_of(cudaDataType_t t) { return t == CUDA_R_64F ? 8 : t == CUDA_R_32F ? 4 : 2; }
/// The 10 bits of tf32, to nearest, ties to even.
inline float rounded_to_tf32(float f) {
  if (!std::isfinite(f)) return f;
  std::uint32_t u;
  std::memcpy(&u, &f, 4);
  u = (u + 0xfff + (u >> 13 & 1)) & ~0x1fffu;
  std::memcpy(&f, &u, 4);
  return f;
}
inline double read(const void* p, std::size_t i, cudaDataType_t t) {
  if (t == CUDA_R_64F) return static_cast<const double*>(p)[i];
  if (t == CUDA_R_32F) return double(static_cast<const float*>(p)[i]);
  if (t == CUDA_R_16BF) return double(float(static_cast<const shardproof::bf16*>(p)[i]));
  return double(float(static_cast<const shardproof::f16*>(p)[i]));
}
inline void write(void* p, std::size_t i, cudaDataType_t t, double v) {
  if (t == CUDA_R_64F) static_cast<double*>(p)[i] = v;
  else if (t == CUDA_R_32F) static_cast<float*>(p)[i] = float(v);
  else wrong("cuBLASLt writes a 16-bit result");
}
inline void check_layout(const cublasLtMatrixLayoutOpaque_t& l) {
  if (l.rows == 0 || l.columns == 0) wrong("cuBLASLt is given a matrix without elements");
  if (l.ld < std::int64_t(l.rows)) wrong("cuBLASLt is given a leading dimension shorter than a column");
}
/// Every operand lies in one block of the emulated memory.
inline void check_memory(const void* p, std::size_t bytes, std::uint64_t alignment, const char* what) {
  if (reinterpret_cast<std::uintptr_t>(p) % alignment) wrong("cuBLASLt is given an operand that is not aligned as was said");
  const std::lock_guard lock(cuda_emulated::memory_lock);
  for (const auto& [at, size] : cuda_emulated::memory)
    if (p >= at && static_cast<const char*>(p) + bytes <= static_cast<const char*>(at) + size) return;
  wrong(what);
}
inline std::size_t bytes_of(const cublasLtMatrixLayoutOpaque_t& l) { return (std::size_t(l.columns - 1) * std::size_t(l.ld) + l.rows) * bytes_of(l.type); }
/// What an algorithm was proposed for.
inline cublasLtMatmulAlgo_t algorithm_for(int id, const cublasLtMatmulDescOpaque_t& d, const cublasLtMatrixLayoutOpaque_t& a,
                                          const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& c, const std::uint32_t* alignment) {
  const std::uint64_t how = std::uint64_t(d.compute) | std::uint64_t(d.ta) << 8 | std::uint64_t(d.tb) << 9 | std::uint64_t(d.after) << 10 |
                            std::uint64_t(a.type) << 20 | std::uint64_t(c.type) << 28;
  const std::uint64_t aligned = alignment[0] | std::uint64_t(alignment[1]) << 16 | std::uint64_t(alignment[2]) << 32;
  return {{std::uint64_t(id), a.rows, a.columns, c.columns, std::uint64_t(a.ld), std::uint64_t(b.ld), how, aligned}};
}
inline std::size_t workspace_of(int id) { return id == 0 ? 0 : std::size_t(id) << 20; }

template <class T> void compute(const cublasLtMatmulDescOpaque_t& d, T alpha, const void* a, const cublasLtMatrixLayoutOpaque_t& la, const void* b,
                                const cublasLtMatrixLayoutOpaque_t& lb, T beta, const void* c, void* to, const cublasLtMatrixLayoutOpaque_t& lc) {
  const auto at = [](const cublasLtMatrixLayoutOpaque_t& l, std::uint64_t i, std::uint64_t j, bool t) {
    return t ? std::size_t(i) * std::size_t(l.ld) + j : std::size_t(j) * std::size_t(l.ld) + i;
  };
  const bool tf32 = d.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && la.type == CUDA_R_32F;
  const auto term = [&](const void* p, std::size_t i, cudaDataType_t t) { return tf32 ? T(rounded_to_tf32(float(read(p, i, t)))) : T(read(p, i, t)); };
  const std::uint64_t k = d.ta ? la.rows : la.columns;
  for (std::uint64_t j = 0; j < lc.columns; ++j)
    for (std::uint64_t i = 0; i < lc.rows; ++i) {
      T s = 0;
      for (std::uint64_t l = 0; l < k; ++l) s += term(a, at(la, i, l, d.ta == CUBLAS_OP_T), la.type) * term(b, at(lb, l, j, d.tb == CUBLAS_OP_T), lb.type);
      const std::size_t o = at(lc, i, j, false);
      s = alpha * s + (beta != T(0) ? beta * T(read(c, o, lc.type)) : T(0));               // beta 0 does not read c
      if (d.after & CUBLASLT_EPILOGUE_BIAS) s += T(static_cast<const float*>(d.bias)[i]);
      if (d.after & CUBLASLT_EPILOGUE_GELU) s = T(0.5) * s * (1 + std::tanh(T(0.7978845608028654) * (s + T(0.044715) * s * s * s)));
      write(to, o, lc.type, double(s));
    }
}

}  // namespace cublaslt_emulated

inline const char* cublasLtGetStatusName(cublasStatus_t s) {
  switch (s) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    default: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
}
inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* h) {
  if (cublaslt_emulated::now.no_handle != CUBLAS_STATUS_SUCCESS) return cublaslt_emulated::now.no_handle;
  *h = new cublasLtContext;
  ++cublaslt_emulated::counts.handles;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t compute, cudaDataType_t scale) {
  *d = new cublasLtMatmulDescOpaque_t{compute, scale};
  ++cublaslt_emulated::counts.live;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { delete d; --cublaslt_emulated::counts.live; return CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t which, const void* value, std::size_t bytes) {
  void* const to = which == CUBLASLT_MATMUL_DESC_TRANSA ? static_cast<void*>(&d->ta) : which == CUBLASLT_MATMUL_DESC_TRANSB ? static_cast<void*>(&d->tb)
                   : which == CUBLASLT_MATMUL_DESC_EPILOGUE ? static_cast<void*>(&d->after) : &d->bias;
  if (bytes != (which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void*) : 4)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* l, cudaDataType_t type, std::uint64_t rows, std::uint64_t columns, std::int64_t ld) {
  *l = new cublasLtMatrixLayoutOpaque_t{type, rows, columns, ld};
  ++cublaslt_emulated::counts.live;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { delete l; --cublaslt_emulated::counts.live; return CUBLAS_STATUS_SUCCESS; }
inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* p) {
  *p = new cublasLtMatmulPreferenceOpaque_t;
  ++cublaslt_emulated::counts.live;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
  delete p;
  --cublaslt_emulated::counts.live;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t which, const void* value,
                                                           std::size_t bytes) {
  const bool room = which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
  if (bytes != (room ? 8 : 4)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(room ? static_cast<void*>(&p->workspace) : &p->alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t p, int wanted,
                                                     cublasLtMatmulHeuristicResult_t* list, int* found) {
  using namespace cublaslt_emulated;
  ++counts.heuristics;
  *found = 0;
  for (int id = 0; id < now.proposed && *found < wanted; ++id) {
    if (workspace_of(id) > p->workspace) continue;
    list[(*found)++] = {algorithm_for(id, *d, *a, *b, *c, p->alignment), workspace_of(id), CUBLAS_STATUS_SUCCESS, 1, {}};
  }
  return *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void* alpha, const void* a, cublasLtMatrixLayout_t la, const void* b,
                                     cublasLtMatrixLayout_t lb, const void* beta, const void* c, cublasLtMatrixLayout_t lc, void* to,
                                     cublasLtMatrixLayout_t lto, const cublasLtMatmulAlgo_t* how, void* workspace, std::size_t workspace_bytes,
                                     cudaStream_t stream) {
  using namespace cublaslt_emulated;
  const int id = int(how->data[0]);
  if (!h || !stream) wrong("cuBLASLt is given no handle or no stream");
  if (now.fails != CUBLAS_STATUS_SUCCESS) return now.fails;
  if (id < now.unsupported) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const auto* l : {la, lb, lc, lto}) check_layout(*l);
  const std::uint64_t m = lc->rows, n = lc->columns, k = d->ta ? la->rows : la->columns;
  if ((d->ta ? la->columns : la->rows) != m || (d->tb ? lb->rows : lb->columns) != n || (d->tb ? lb->columns : lb->rows) != k || lto->rows != m ||
      lto->columns != n || lto->ld != lc->ld)
    wrong("cuBLASLt is given extents that do not fit");
  const bool wide = d->compute == CUBLAS_COMPUTE_64F;
  if (la->type != lb->type || lc->type != lto->type || wide != (la->type == CUDA_R_64F) || lc->type != (wide ? CUDA_R_64F : CUDA_R_32F) || d->scale != lc->type)
    return CUBLAS_STATUS_NOT_SUPPORTED;                  // a mixed product
  const std::uint32_t aligned[4] = {std::uint32_t(how->data[7] & 0xffff), std::uint32_t(how->data[7] >> 16 & 0xffff),
                                    std::uint32_t(how->data[7] >> 32 & 0xffff)};
  if (const cublasLtMatmulAlgo_t mine = algorithm_for(id, *d, *la, *lb, *lc, aligned); std::memcmp(&mine, how, sizeof mine) != 0)
    wrong("cuBLASLt is given another problem's algorithm");
  check_memory(a, cublaslt_emulated::bytes_of(*la), aligned[0], "cuBLASLt is given a first operand outside of the memory");
  check_memory(b, cublaslt_emulated::bytes_of(*lb), aligned[1], "cuBLASLt is given a second operand outside of the memory");
  check_memory(to, cublaslt_emulated::bytes_of(*lto), aligned[2], "cuBLASLt is given a result outside of the memory");
  if (workspace_bytes < workspace_of(id)) wrong("cuBLASLt is given too small a workspace");
  if (workspace_bytes) check_memory(workspace, workspace_bytes, 16, "cuBLASLt is given a workspace outside of the memory");
  if ((d->after & CUBLASLT_EPILOGUE_BIAS) && wide) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (d->after & CUBLASLT_EPILOGUE_BIAS) check_memory(d->bias, m * 4, 4, "cuBLASLt is given a bias outside of the memory");
  ++counts.products;
  counts.last = id;
  cuda_emulated::elapsed_ms = now.milliseconds[id];
  const auto scalar = [&](const void* p) { return wide ? *static_cast<const double*>(p) : double(*static_cast<const float*>(p)); };
  const double x = scalar(alpha), y = scalar(beta);
  if (y != 0) check_memory(c, cublaslt_emulated::bytes_of(*lc), aligned[2], "cuBLASLt is given an addend outside of the memory");
  cuda_emulated::queue(stream, [d = *d, x, a, la = *la, b, lb = *lb, y, c, to, lc = *lc, wide, workspace, workspace_bytes] {
    if (workspace_bytes) std::memset(workspace, 0xee, workspace_bytes);    // what lies there does not survive
    if (wide) compute<double>(d, x, a, la, b, lb, y, c, to, lc);
    else compute<float>(d, float(x), a, la, b, lb, float(y), c, to, lc);
  });
  return CUBLAS_STATUS_SUCCESS;
}
