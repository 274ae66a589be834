#pragma once
/// @file
/// Plans without tensors: dimensions, placements, rules, primitives, styles and plans. For tools that validate plans.
///
///     #include <shardproof/types.hpp>
///     static_assert(sp::parse_plan(R"({"layers.*.mlp.up_proj": "colwise"})").count == 1);
#include <shardproof/core/verdict.hpp>                   // first: every diagnostic says how it was included
#include <shardproof/core/mesh.hpp>
#include <shardproof/core/rules.hpp>
#include <shardproof/core/partition.hpp>
#include <shardproof/core/primitives.hpp>
#include <shardproof/plan/parse.hpp>
namespace sp = shardproof;
