#pragma once
/// @file
/// A collective as a rank announces it to the others: what they compare, and where its data lie.
///
///     if (in_process::differ(mine, theirs)) throw in_process::disagreement(0, mine, 1, theirs, "group tp; " + facts(mine, theirs, 2));
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <shardproof/core/error.hpp>
#include <shardproof/runtime/communicator.hpp>
namespace shardproof::in_process {

/// The collectives of the interface, and what else is one: `split`, and the capture of steps.
enum class operation : std::uint8_t { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, barrier, split, begin_capture, end_capture, captured_step };
constexpr const char* name_of(operation o) {
  constexpr const char* others[] = {"split", "the begin of a captured step", "the end of a captured step", "a captured step"};
  return o < operation::split ? shardproof::name_of(collective(o)) : others[int(o) - int(operation::split)];
}
constexpr const char* name_of(reduction r) { return r == reduction::sum ? "sum" : r == reduction::max ? "max" : "min"; }

/// Fits one cache line together with the flag that publishes it. Everything it points to but `source` and `target` belongs to
/// the engine, so that a rank may leave a collective while another one still reads its announcement.
struct call {
  operation what = operation::barrier;
  dtype type = dtype::u8;
  reduction how = reduction::sum;
  bool staged = true;  ///< `source` is the engine's copy: nobody touches this rank's own buffers
  std::int32_t root = 0;
  std::uint32_t index = 0;  ///< calls of this rank in this group, this one included: the first is #1
  std::uint32_t layer_hash = 0;
  std::int64_t amount = 0;  ///< elements; a hash of the counts where there are several; split: the color
  const void* source = nullptr;
  void* target = nullptr;
  const long* counts = nullptr;  ///< one a rank, where there are several; all_to_all: sent, then received
  const char* layer = "";
};
static_assert(sizeof(call) <= 56);

inline std::uint64_t mix(std::uint64_t h, std::uint64_t word) {
  h = (h ^ word) * 0x9e3779b97f4a7c15ull;
  return h ^ h >> 32;
}

/// Copies a layer's name (cut to fit) and returns its hash; eight letters at a time, since this is done at every call.
template <std::size_t N> std::uint32_t keep_name(char (&to)[N], const char* name) {
  static_assert(N % 8 == 0);
  const std::size_t n = name ? std::min(std::strlen(name), N - 1) : 0;
  if (n) std::memcpy(to, name, n);
  std::memset(to + n, 0, std::min<std::size_t>(8, N - n));
  std::uint64_t h = n;
  for (std::size_t i = 0; i < n; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, to + i, 8);
    h = mix(h, word);
  }
  return std::uint32_t(h);
}

/// Whether two ranks do different things. The counts of an all_to_all are compared pairwise, elsewhere.
inline bool differ(const call& a, const call& b) {
  const bool own_amount = a.what == operation::split || a.what == operation::all_to_all;
  return a.what != b.what || a.type != b.type || a.how != b.how || a.root != b.root || a.index != b.index ||
         a.layer_hash != b.layer_hash || (a.amount != b.amount && !own_amount);
}

/// "all_reduce #3 of layers.0.mlp.down_proj"
inline std::string describe(const call& c) {
  std::string s = name_of(c.what) + std::string(" #") + std::to_string(c.index);
  if (*c.layer) s += std::string(" of ") + c.layer;
  return s;
}

inline constexpr const char* fix_schedule =
    "take the same branch around collectives on every rank, and bind each collective's result to a named local.";
inline constexpr const char* fix_lost =
    "read that rank's first error; raise the time limit only if the step is really that long.";

namespace detail {
inline std::string list(const long* counts, int n) {
  std::string s;
  for (int i = 0; i < n && i < 16; ++i) {
    if (i) s += ',';
    s += std::to_string(counts[i]);
  }
  return n > 16 ? s + ",..." : s;
}
inline bool several(operation o) { return o == operation::all_gather || o == operation::reduce_scatter; }
}  // namespace detail

/// The facts in which two calls differ: "count 16 and 8; dtype F32 and I32". `ranks` of the group.
inline std::string facts(const call& a, const call& b, int ranks) {
  std::string s;
  const auto add = [&](const char* what, const std::string& x, const std::string& y) {
    if (x != y) s += (s.empty() ? "" : "; ") + std::string(what) + " " + x + " and " + y;
  };
  const bool data = a.what < operation::barrier && b.what < operation::barrier;
  if (data) {
    if (detail::several(a.what) && detail::several(b.what))
      add("counts", detail::list(a.counts, ranks), detail::list(b.counts, ranks));
    else if (a.what == b.what && !detail::several(a.what) && a.what != operation::all_to_all)
      add("count", std::to_string(a.amount), std::to_string(b.amount));
    add("dtype", shardproof::name_of(a.type), shardproof::name_of(b.type));
  }
  if (a.what == b.what) {
    add("reduction", name_of(a.how), name_of(b.how));
    add("root", std::to_string(a.root), std::to_string(b.root));
  }
  return s;
}

/// SP501 about two ranks, named by their world ranks; `known` are the facts, as "group tp; count 16 and 8".
inline error disagreement(int a, const call& at_a, int b, const call& at_b, const std::string& known) {
  return error(code::schedules_differ,
               "ranks disagree on the collective schedule: rank " + std::to_string(a) + " is at " + describe(at_a) + ", rank " +
                   std::to_string(b) + " at " + describe(at_b) + ".",
               fix_schedule + std::string(" [") + known + "]");
}

}  // namespace shardproof::in_process
