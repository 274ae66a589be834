#pragma once
/// @file
/// A product by cuBLASLt: its algorithm is chosen once a problem, and remembered by all ranks of the process.
///
///     cuda::lt_product(p, a, b, c);                        // p: product_plan.hpp
///     cuda::lt_product(p, a, b, c, bias);                  // p.after says so
///
/// cuBLASLt proposes algorithms for a problem, the likely fastest first; the first that runs is kept. Where tuning is on, and nothing
/// is being captured, each is timed on a scratch result and the fastest is kept. Equal problems are computed alike from then on, so
/// that ranks of one process have equal bits. FLOP: 2 m n k; bytes: both operands and the result at least once.
#include <type_traits>
#include <shardproof/backend/cuda/lt.cuh>
namespace shardproof::cuda {

namespace detail {

inline constexpr int most_candidates = 16;
/// A rank's descriptors are dropped when they are this many (prompts of all lengths); the algorithms stay.
inline constexpr std::size_t most_known = 4096;

/// The process's algorithms; the lock is held while one is chosen, so that all ranks get the same.
struct lt_choices {
  std::mutex lock;
  std::unordered_map<product_key, lt_choice, hash_of_key> of;
};
inline lt_choices& choices() { static lt_choices& c = *new lt_choices; return c; }

/// One product as it is to be queued.
struct lt_call {
  const product& p;
  const void *a, *b;
  void* c;
  alignments at;
};

/// Queues it; `to` instead of c where it is only timed.
inline cublasStatus_t try_lt(lt_state& s, const lt_problem& l, const lt_choice& how, const lt_call& x, void* to) {
  const double one = 1, zero = 0;
  const float one_f = 1, zero_f = 0;
  const bool wide = x.p.result == dtype::f64;
  const void *alpha = wide ? static_cast<const void*>(&one) : &one_f, *nothing = wide ? static_cast<const void*>(&zero) : &zero_f;
  const lt_workspace w(s, how.workspace);
  return cublasLtMatmul(s.handle, l.what, alpha, x.b, l.first, x.a, l.second, x.p.accumulate ? alpha : nothing, x.c, l.result, to, l.result, &how.algorithm,
                        w.get(), how.workspace, own_queue().stream);
}
/// Does it say that this algorithm is not for this problem?
constexpr bool is_unsuited(cublasStatus_t s) {
  return s == CUBLAS_STATUS_NOT_SUPPORTED || s == CUBLAS_STATUS_INVALID_VALUE || s == CUBLAS_STATUS_ARCH_MISMATCH;
}

struct lt_candidates {
  cublasLtMatmulHeuristicResult_t list[most_candidates];
  int count = 0;
};
inline lt_candidates candidates_for(lt_state& s, const lt_problem& l, const lt_call& x, int wanted) {
  cublasLtMatmulPreference_t wish = nullptr;
  check_lt(cublasLtMatmulPreferenceCreate(&wish), "the choice of an algorithm", x.p);
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, cublasStatus_t (*)(cublasLtMatmulPreference_t)> owner(
      wish, cublasLtMatmulPreferenceDestroy);
  const auto say = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
    check_lt(cublasLtMatmulPreferenceSetAttribute(wish, which, &value, sizeof value), "the choice of an algorithm", x.p);
  };
  say(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(lt_workspace_bytes));
  say(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t(x.at.b));
  say(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t(x.at.a));
  say(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t(x.at.c));
  say(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t(x.at.c));
  lt_candidates found;
  const cublasStatus_t e = cublasLtMatmulAlgoGetHeuristic(s.handle, l.what, l.first, l.second, l.result, l.result, wish, wanted, found.list, &found.count);
  check_lt(e == CUBLAS_STATUS_SUCCESS && found.count == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : e, "the choice of an algorithm", x.p);
  return found;
}

/// The milliseconds of one run behind a first one; a negative number where it does not run.
inline float time_lt(lt_state& s, const lt_problem& l, const lt_choice& how, const lt_call& x, void* to) {
  constexpr int runs = 5;
  struct event {
    cudaEvent_t e = nullptr;
    event() { check(cudaEventCreate(&e), "an event"); }
    ~event() { (void)cudaEventDestroy(e); }
  } from, until;
  const cudaStream_t stream = own_queue().stream;
  if (try_lt(s, l, how, x, to) != CUBLAS_STATUS_SUCCESS) return -1;
  check(cudaEventRecord(from.e, stream), "an event");
  for (int i = 0; i < runs; ++i)
    if (try_lt(s, l, how, x, to) != CUBLAS_STATUS_SUCCESS) return -1;
  check(cudaEventRecord(until.e, stream), "an event");
  check(cudaEventSynchronize(until.e), "the timing of a product");
  float ms = 0;
  check(cudaEventElapsedTime(&ms, from.e, until.e), "the timing of a product");
  return ms / runs;
}
/// Puts the fastest first. A later one has to be faster by a fiftieth, so that noise does not choose between equals.
inline void tune(lt_state& s, const lt_problem& l, const lt_call& x, lt_candidates& found) {
  // Rows may lie apart in c; the scratch has the same leading dimension, and c's alignment is the lesser.
  const std::size_t bytes = (std::size_t(x.p.m - 1) * std::size_t(x.p.ldc) + std::size_t(x.p.n)) * bytes_of(x.p.result);
  void* to = nullptr;
  try {
    to = take(bytes);
  } catch (const error&) { return; }                     // no room to try: the first proposal is taken
  int best = -1;
  float least = 0;
  for (int i = 0; i < found.count; ++i) {
    if (found.list[i].state != CUBLAS_STATUS_SUCCESS) continue;
    const float ms = time_lt(s, l, {found.list[i].algo, found.list[i].workspaceSize}, x, to);
    if (ms >= 0 && (best < 0 || ms < least * 0.98f)) best = i, least = ms;
  }
  give(to, bytes);
  if (best > 0) std::swap(found.list[0], found.list[best]);
}

/// Computes it by the first candidate that can, and keeps that one.
inline lt_choice choose_and_run(lt_state& s, const lt_problem& l, const lt_call& x) {
  const bool tuned = products_are_tuned() && !own_queue().capture;
  lt_candidates found = candidates_for(s, l, x, tuned ? most_candidates : most_candidates / 2);
  if (tuned && found.count > 1) tune(s, l, x, found);
  cublasStatus_t last = CUBLAS_STATUS_NOT_SUPPORTED;
  for (int i = 0; i < found.count; ++i) {
    if (found.list[i].state != CUBLAS_STATUS_SUCCESS) continue;
    const lt_choice how{found.list[i].algo, found.list[i].workspaceSize};
    last = try_lt(s, l, how, x, x.c);
    if (last == CUBLAS_STATUS_SUCCESS) return how;
    if (!is_unsuited(last)) break;
  }
  refuse_lt(last, "a product", describe(x.p));
}

/// A problem that this rank meets for the first time.
inline lt_known& meet_lt(lt_state& s, const product_key& key, const lt_call& x, const float* bias) {
  if (s.known.size() >= most_known) s.known.clear();
  auto fresh = std::make_unique<lt_known>(x.p);
  if (bias) fresh->problem.say(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias), x.p);
  lt_choices& all = choices();
  const std::lock_guard lock(all.lock);
  if (const auto at = all.of.find(key); at != all.of.end()) {
    fresh->choice = at->second;
    check_lt(try_lt(s, fresh->problem, fresh->choice, x, x.c), "a product", x.p);
  } else {
    fresh->choice = all.of[key] = choose_and_run(s, fresh->problem, x);
  }
  return *(s.known[key] = std::move(fresh));
}

inline void run_lt(const product& p, const void* a, const void* b, void* c, const float* bias) {
  lt_state& s = own_lt();
  const lt_call x{p, a, b, c, {alignment_of(a), alignment_of(b), alignment_of(c), alignment_of(bias)}};
  const product_key key = key_of(p, x.at, s.kind);
  const auto at = s.known.find(key);
  if (at == s.known.end()) [[unlikely]] return void(meet_lt(s, key, x, bias));
  lt_known& k = *at->second;
  if (bias) k.problem.say(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias), p);
  check_lt(try_lt(s, k.problem, k.choice, x, c), "a product", p);
}
inline void* lt_at(void* p, long elements, dtype t) { return static_cast<char*>(p) + std::size_t(elements) * bytes_of(t); }
inline const void* lt_at(const void* p, long elements, dtype t) { return static_cast<const char*>(p) + std::size_t(elements) * bytes_of(t); }

}  // namespace detail

/// Both operands have p.operands, c has p.result; no extent is zero. Extents too long for cuBLASLt are cut. @error SP506
inline void lt_product(const product& p, const void* a, const void* b, void* c, const float* bias = nullptr) {
  in_pieces(p.k, longest_extent, [&](span_of k) {
    in_pieces(p.m, longest_extent, [&](span_of m) {
      in_pieces(p.n, longest_extent, [&](span_of n) {
        const product_part x = part_of(p, m, n, k);
        detail::run_lt(x.p, detail::lt_at(a, x.a, p.operands), detail::lt_at(b, x.b, p.operands), detail::lt_at(c, x.c, p.result),
                       has_bias(x.p.after) ? bias + n.first : nullptr);
      });
    });
  });
}

}  // namespace shardproof::cuda
