#ifndef LLAMA_DIMS_HPP
#define LLAMA_DIMS_HPP
/// @file
/// The dimensions of the little Llama that the must-fail programs are written on.
///
///     #include <shardproof/shardproof.hpp>
///     #include "llama/dims.hpp"
#include <shardproof/shardproof.hpp>

using sp::batch, sp::seq;
struct hidden : sp::dim<16> {};
struct ffn : sp::dim<24> {};
struct vocab : sp::dim<37> {};
struct kv_heads : sp::dim<4, sp::groups> {};
struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
struct head_dim : sp::dim<4> {};

/// Extents of the residual stream, for programs of one module.
using stream = sp::sizes_of<sp::dims<batch, seq, hidden>>;
#endif
