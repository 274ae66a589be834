#pragma once
/// @file
/// Everything a model's author needs, except a backend (exactly one .cpp includes one), an engine, files and mixtures of experts.
///
///     #include <shardproof/shardproof.hpp>
///     #include <shardproof/engine/threads.hpp>             // sp::run
///     #include <shardproof/layer/experts.hpp>              // sp::region, sp::topk_router, sp::dispatch
///     #include <shardproof/backend/cpu.hpp>                // in exactly one .cpp of the program
///
/// A flat list: a nested one would cost the reader of every error a line of "included from".
#include <shardproof/core/verdict.hpp>                   // first, for the same reason
#include <shardproof/types.hpp>
#include <shardproof/layer/cache.hpp>
#include <shardproof/layer/embedding.hpp>
#include <shardproof/layer/free_parameter.hpp>
#include <shardproof/layer/linear.hpp>
#include <shardproof/layer/norm.hpp>
#include <shardproof/layer/stack.hpp>
#include <shardproof/tensor/ops/activation.hpp>
#include <shardproof/tensor/ops/attention.hpp>
#include <shardproof/tensor/ops/cross_entropy.hpp>
#include <shardproof/tensor/ops/dropout.hpp>
#include <shardproof/tensor/ops/rope.hpp>
#include <shardproof/tensor/ops/split.hpp>
#include <shardproof/tensor/ops/to_product.hpp>
#include <shardproof/model/bind.hpp>
#include <shardproof/model/covers.hpp>
#include <shardproof/model/dry_run.hpp>
#include <shardproof/model/gather.hpp>
#include <shardproof/model/init.hpp>
#include <shardproof/model/optimizer.hpp>
