#pragma once
/// @file
/// The communication primitives as one table of values: placements, what happens to the buffers, and which row is the adjoint.
///
///     constexpr auto f = sp::primitive::find(sp::primitive::form::convert, sp::invariant::value, sp::replicate::value);
///     static_assert(f == sp::primitive::convert_i_r && sp::primitive::table[f].adjoint == sp::primitive::all_reduce_p_i);
///     static_assert(sp::primitive::backward(f) == sp::primitive::physical::all_reduce);
///
/// A primitive is the pair of its forward and its backward: "all-gather" and "all-reduce" each have two legal adjoints, and
/// which one is right follows from the placements. Sources: f and g of Shoeybi et al., arXiv 1909.08053; the placements of
/// Meta's spmd_types and of JAX's shard_map.
#include <shardproof/core/placement.hpp>
namespace shardproof::primitive {

/// What happens to the local buffers. "Part" is a rank's part of the whole by the partition rule; the root is rank 0.
enum class physical : unsigned char {
  identity,
  all_reduce,
  split,                 ///< keeps the own part of the whole
  all_gather,
  reduce_scatter,
  zero_pad,              ///< the own part at its place in the whole, zero elsewhere
  partition_of_unity,    ///< x -> M_r x with sum_r M_r = 1: one on the root, zero on the others, so exact
  all_to_all,            ///< gathers along one dimension while splitting another
  broadcast,
  reduce_to_root,        ///< the sum on the root, zero on the others
  mean,
  scatter_from_root,
  gather_to_root         ///< the whole on the root, zero on the others
};

/// The template that spells a row; `adjoint_only` rows are reached through adjoint_of<>.
enum class form : unsigned char {
  convert, all_reduce, all_gather, reduce_scatter, all_to_all, reinterpret, broadcast, mean, scatter_root, adjoint_only
};

/// What travels between ranks.
enum class communication : unsigned char {
  none, all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, reduce, scatter, gather
};

struct row {
  const char* name;
  int number;                  ///< the adjoint pairs and their variants, as the documentation counts them: 1 to 18
  form how;
  kind src, dst;               ///< `shard` stands for packed too
  physical forward;
  int adjoint;                 ///< the row from dual(dst) to dual(src) whose forward is this one's backward
  bool keeps_value;            ///< the global value stays what it is (a Varying value has none)
};

/// Indices into the table: form, source, destination.
enum row_index : int {
  convert_i_r, all_reduce_p_i, all_reduce_p_r, all_gather_s_i, convert_i_s, all_gather_s_r, reduce_scatter_p_s, convert_r_s,
  convert_s_p, convert_r_p, convert_i_p, convert_r_i, all_to_all_s_s, reinterpret_v_p, reinterpret_r_v, reinterpret_r_p,
  broadcast_v_r, reduce_root_p_v, broadcast_i_i, adjoint_of_broadcast_i_i, mean_i_i, adjoint_of_mean_i_i, scatter_root_i_s,
  adjoint_of_scatter_root_i_s, scatter_root_r_s, gather_root_s_p, row_count
};

// clang-format off
inline constexpr row table[row_count] = {
    {"convert<invariant, replicate>",               1, form::convert,        kind::invariant, kind::replicate, physical::identity,           all_reduce_p_i,              true},
    {"all_reduce<partial, invariant>",              2, form::all_reduce,     kind::partial,   kind::invariant, physical::all_reduce,         convert_i_r,                 true},
    {"all_reduce<partial, replicate>",              3, form::all_reduce,     kind::partial,   kind::replicate, physical::all_reduce,         all_reduce_p_r,              true},
    {"all_gather<shard, invariant>",                4, form::all_gather,     kind::shard,     kind::invariant, physical::all_gather,         convert_i_s,                 true},
    {"convert<invariant, shard>",                   5, form::convert,        kind::invariant, kind::shard,     physical::split,              all_gather_s_i,              true},
    {"all_gather<shard, replicate>",                6, form::all_gather,     kind::shard,     kind::replicate, physical::all_gather,         reduce_scatter_p_s,          true},
    {"reduce_scatter<partial, shard>",              7, form::reduce_scatter, kind::partial,   kind::shard,     physical::reduce_scatter,     all_gather_s_r,              true},
    {"convert<replicate, shard>",                   8, form::convert,        kind::replicate, kind::shard,     physical::split,              convert_s_p,                 true},
    {"convert<shard, partial>",                     9, form::convert,        kind::shard,     kind::partial,   physical::zero_pad,           convert_r_s,                 true},
    {"convert<replicate, partial>",                10, form::convert,        kind::replicate, kind::partial,   physical::partition_of_unity, convert_r_p,                 true},
    {"convert<invariant, partial>",                11, form::convert,        kind::invariant, kind::partial,   physical::partition_of_unity, convert_r_i,                 true},
    {"convert<replicate, invariant>",              12, form::convert,        kind::replicate, kind::invariant, physical::identity,           convert_i_p,                 true},
    {"all_to_all<shard, shard>",                   13, form::all_to_all,     kind::shard,     kind::shard,     physical::all_to_all,         all_to_all_s_s,              true},
    {"unsafe::reinterpret<varying, partial>",      14, form::reinterpret,    kind::varying,   kind::partial,   physical::identity,           reinterpret_r_v,             false},
    {"unsafe::reinterpret<replicate, varying>",    14, form::reinterpret,    kind::replicate, kind::varying,   physical::identity,           reinterpret_v_p,             false},
    {"unsafe::reinterpret<replicate, partial>",    15, form::reinterpret,    kind::replicate, kind::partial,   physical::identity,           reinterpret_r_p,             false},
    {"broadcast<varying, replicate>",              16, form::broadcast,      kind::varying,   kind::replicate, physical::broadcast,          reduce_root_p_v,             false},
    {"adjoint_of<broadcast<varying, replicate>>",  16, form::adjoint_only,   kind::partial,   kind::varying,   physical::reduce_to_root,     broadcast_v_r,               false},
    {"broadcast<invariant, invariant>",            17, form::broadcast,      kind::invariant, kind::invariant, physical::broadcast,          adjoint_of_broadcast_i_i,    true},
    {"adjoint_of<broadcast<invariant, invariant>>", 17, form::adjoint_only,  kind::invariant, kind::invariant, physical::identity,           broadcast_i_i,               true},
    {"mean<invariant, invariant>",                 17, form::mean,           kind::invariant, kind::invariant, physical::mean,               adjoint_of_mean_i_i,         true},
    {"adjoint_of<mean<invariant, invariant>>",     17, form::adjoint_only,   kind::invariant, kind::invariant, physical::identity,           mean_i_i,                    true},
    {"scatter_root<invariant, shard>",             18, form::scatter_root,   kind::invariant, kind::shard,     physical::scatter_from_root,  adjoint_of_scatter_root_i_s, true},
    {"adjoint_of<scatter_root<invariant, shard>>", 18, form::adjoint_only,   kind::shard,     kind::invariant, physical::all_gather,         scatter_root_i_s,            true},
    {"scatter_root<replicate, shard>",             18, form::scatter_root,   kind::replicate, kind::shard,     physical::scatter_from_root,  gather_root_s_p,             true},
    {"adjoint_of<scatter_root<replicate, shard>>", 18, form::adjoint_only,   kind::shard,     kind::partial,   physical::gather_to_root,     scatter_root_r_s,            true},
};
// clang-format on

constexpr physical forward(int id) { return table[id].forward; }
/// What happens to the gradient's buffers.
constexpr physical backward(int id) { return table[table[id].adjoint].forward; }
constexpr communication communication_of(physical p) {
  switch (p) {
    case physical::all_reduce: case physical::mean: return communication::all_reduce;
    case physical::all_gather: return communication::all_gather;
    case physical::reduce_scatter: return communication::reduce_scatter;
    case physical::all_to_all: return communication::all_to_all;
    case physical::broadcast: return communication::broadcast;
    case physical::reduce_to_root: return communication::reduce;
    case physical::scatter_from_root: return communication::scatter;
    case physical::gather_to_root: return communication::gather;
    default: return communication::none;
  }
}

/// Does placement p stand where the table says k?
constexpr bool stands_for(kind k, placement p) { return p.k == k || (k == kind::shard && p.k == kind::packed); }

/// The row of that form between these placements; -1 if there is none.
constexpr int find(form how, placement src, placement dst) {
  if (how == form::adjoint_only || (how == form::all_to_all && base_of(src.d) == base_of(dst.d))) return -1;
  for (int i = 0; i < row_count; ++i)
    if (table[i].how == how && stands_for(table[i].src, src) && stands_for(table[i].dst, dst)) return i;
  return -1;
}

/// Why there is no such row; code::ok if there is one.
/// SP108: a reduction of what is no pending sum. SP102: an Invariant value used as a rank-dependent one. SP101: everything else.
constexpr code refusal(form how, placement src, placement dst) {
  if (find(how, src, dst) >= 0) return code::ok;
  const bool reduces = how == form::all_reduce || how == form::reduce_scatter;
  if (reduces && src.k != kind::partial) return code::reduced_twice;
  const bool keeps_buffers = how == form::reinterpret || (how == form::convert && dst.k == kind::varying);
  if (keeps_buffers && src.k == kind::invariant) return code::needs_f;
  return code::conversion;
}

}  // namespace shardproof::primitive
