#pragma once
/// @file
/// What a mixture of experts needs beside shardproof.hpp: the router, the region, and tokens on their way.
///
///     SP_LAYER(gate, sp::topk_router<hidden, n_experts>);
///     SP_LAYER(experts, sp::region<gated_experts>);        // to.rows, to.grouped and to.combine of sp::dispatch(x, chosen, gate_up_proj)
///     auto y = experts(x, gate(x));
#include <shardproof/layer/region.hpp>
#include <shardproof/layer/router.hpp>
#include <shardproof/tensor/ops/dispatch.hpp>
