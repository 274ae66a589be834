#pragma once
/// @file
/// How precisely a GPU multiplies matrices, and whether it looks for the fastest way: switches of the process.
///
///     cuda::use_products(cuda::products::tf32);            // from the next product on; the same on every rank
///     cuda::tune_products(true);                           // time the candidates of a shape once, where it is first met
///     $ SHARDPROOF_CUDA_PRODUCTS=bf16 SHARDPROOF_CUDA_TUNE=1 ./train            // both from outside
///
/// What an f32 product rounds before it multiplies; sums are f32 always, and f64 is never rounded:
///
///             f32 x f32           f32 x bf16 weights      f32 x f16 weights
///     exact   nothing             nothing                 nothing
///     tf32    both to tf32        the f32 side to bf16    the f32 side to tf32 (rounded to f16 it might be infinite)
///     bf16    both to bf16        the f32 side to bf16    both to bf16
///
/// Products of a few rows move weights rather than multiply: there nothing is rounded, whatever the switch says.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <shardproof/core/error.hpp>
namespace shardproof::cuda {

enum class products : unsigned char { exact, tf32, bf16 };
constexpr const char* name_of(products p) {
  constexpr const char* names[] = {"exact", "tf32", "bf16"};
  return names[int(p)];
}
inline constexpr const char* products_variable = "SHARDPROOF_CUDA_PRODUCTS";
inline constexpr const char* tuning_variable = "SHARDPROOF_CUDA_TUNE";

/// What the variable says; null or empty: exact. @error SP001 with the value and the legal ones.
inline products read_products(const char* text) {
  if (!text || !*text) return products::exact;
  for (const products p : {products::exact, products::tf32, products::bf16})
    if (std::strcmp(text, name_of(p)) == 0) return p;
  throw error(code::usage, std::string(products_variable) + " is \"" + text + "\", not a precision of matrix products.", "set it to exact, tf32 or bf16.");
}
/// What the variable says; null or empty: no. @error SP001 with the value and the legal ones.
inline bool read_tuning(const char* text) {
  if (!text || !*text || std::strcmp(text, "0") == 0) return false;
  if (std::strcmp(text, "1") == 0) return true;
  throw error(code::usage, std::string(tuning_variable) + " is \"" + text + "\", neither yes nor no.", "set it to 1 or 0.");
}

namespace detail {
inline std::atomic<int> chosen_products{-1}, chosen_tuning{-1};            // -1: the environment has not been asked
/// A choice that a program made meanwhile stands.
template <class Read> int ask_once(std::atomic<int>& chosen, const char* variable, Read read) {
  int now = chosen.load(std::memory_order_relaxed);
  if (now < 0) {
    const int told = int(read(static_cast<const char*>(std::getenv(variable))));
    if (chosen.compare_exchange_strong(now, told)) now = told;
  }
  return now;
}
}  // namespace detail

/// Of all ranks of this process. Equal ranks have equal bits only if they multiply alike, other processes included.
inline void use_products(products p) { detail::chosen_products.store(int(p)); }
/// @error SP001 if nobody chose and the variable is none of the legal words.
inline products products_in_use() { return products(detail::ask_once(detail::chosen_products, products_variable, read_products)); }

/// Ranks of one process share what was found. Processes time for themselves and may choose differently, so that values which are
/// equal on all ranks may differ in their last bits: tune where ranks are threads, or where that does no harm.
inline void tune_products(bool yes) { detail::chosen_tuning.store(int(yes)); }
inline bool products_are_tuned() { return detail::ask_once(detail::chosen_tuning, tuning_variable, read_tuning) != 0; }

}  // namespace shardproof::cuda
