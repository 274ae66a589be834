#pragma once
/// @file
/// The library's styles, and the older names under which published plans know some of them.
///
///     static_assert(sp::style_number(sp::standard_styles{}, "rowwise") >= 0);
///     static_assert(sp::current_name("colwise_rep") == "colwise_gather_output");
#include <shardproof/plan/styles/colwise.hpp>
#include <shardproof/plan/styles/embedding.hpp>
#include <shardproof/plan/styles/experts.hpp>
#include <shardproof/plan/styles/mla.hpp>
#include <shardproof/plan/styles/norm.hpp>
#include <shardproof/plan/styles/replicated.hpp>
#include <shardproof/plan/styles/rowwise.hpp>
namespace shardproof {

using standard_styles = style_list<replicated, colwise, rowwise, packed_colwise, colwise_gather_output, rowwise_split_input, rowwise_partial,
                                   replicated_with_grad_allreduce, embedding_rowwise, embedding_colwise, packed_rowwise, sequence_parallel,
                                   replicate_output, replicated_as_partial, mla_kv_a_proj, grouped_gemm, ep_router, moe_tp_experts,
                                   moe_tp_experts_partial, ep_dispatch_experts, moe_identity_expert, all_reduce_region, sharded_norm>;

/// The name in use for an alias found in the wild; any other name is its own.
constexpr std::string_view current_name(std::string_view name) {
  if (name == "colwise_rep") return "colwise_gather_output";
  if (name == "rowwise_rep") return "rowwise_split_input";
  if (name == "replicate") return "replicated";
  return name;
}

/// Edits (insert, delete, replace) between two names, for "did you mean".
constexpr int edit_distance(std::string_view a, std::string_view b) {
  std::array<int, 64> row{};
  const std::size_t n = b.size() < 63 ? b.size() : 63;
  for (std::size_t j = 0; j <= n; ++j) row[j] = int(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = int(i);
    for (std::size_t j = 1; j <= n; ++j) {
      const int replace = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      const int shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      row[j] = replace < shorter ? replace : shorter;
    }
  }
  return row[n];
}
template <class L> constexpr std::string_view nearest_style(L list, std::string_view name) {
  std::string_view best;
  int least = 1 << 20;
  each_style(list, [&]<class S>(int, S*) {
    const int d = edit_distance(name, S::name);
    if (d < least) { least = d; best = S::name; }
  });
  return best;
}

}  // namespace shardproof
