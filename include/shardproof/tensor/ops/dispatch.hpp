#pragma once
/// @file
/// Tokens to the experts that a router chose for them, through those, and back as a weighted sum: none is dropped, whatever the counts.
///
///     auto to = sp::dispatch(x, chosen, gate_up_proj);     // x (batch, seq, hidden); to.rows (routed, hidden), in order of expert
///     auto [gate, up] = sp::split(to.grouped(to.rows, gate_up_proj));             // each row times the matrix of its expert
///     auto y = to.combine(to.grouped(sp::silu(gate) * up, down_proj));            // (batch, seq, hidden)
///
/// Where the rows are, the placements say. Experts whole or cut inside: every rank has every row. Experts dealt to ranks, tokens on every
/// rank: a rank picks the rows of its own experts, and the result is a pending sum. Experts and tokens both dealt: rows travel by
/// all-to-all and return to their tokens. Lepikhin et al., GShard, arXiv 2006.16668; grouped products: Gale et al., arXiv 2211.15841.
#include <shardproof/tensor/ops/contract.hpp>
#include <shardproof/tensor/ops/expert_rows.hpp>
#include <shardproof/tensor/ops/routing.hpp>
namespace shardproof {

struct routed : dim<dynamic, ragged> {};               ///< rows on their way through experts: one for each choice of each token

namespace operations {
constexpr bool apart(placement w) { return w.splits() && w.d->is == role::experts; }

template <class Features> struct dispatch {
  double chosen = 1, experts = 0;
  bool weighted = false, travels = false;
  const erased::routes* way = nullptr;
  static constexpr outcome rule(placement x, placement weights, placement w) { return rules::dispatch(x, weights, w, &info<Features>, &info<routed>); }
  constexpr void charge(bill& b) const {
    if (!travels) return;
    b.book->waits = b.book->waits || b.where.ranks[0] > 1;
    b.forward(collective::all_to_all, 0, experts * 8 / b.element_bytes);                 // how many rows go where
    b.forward(collective::all_to_all, 0, b.operand * chosen);
    if (b.tracked[0] || (weighted && b.tracked[1])) b.backward(collective::all_to_all, 0, b.operand * chosen);
  }
  ref run(const shape&, const auto& x, const auto& weights, const auto&) const { return erased::dispatch(x.at, weights.at, *way, weighted); }
};
struct combine {
  double chosen = 1;
  bool weighted = false, travels = false;
  const erased::routes* way = nullptr;
  static constexpr bool extents_may_differ = true;
  static constexpr outcome rule(placement x, placement weights) { return rules::combine(x, weights, &info<routed>); }
  constexpr void charge(bill& b) const {
    b.flops(2 * chosen, 4 * chosen);
    if (!travels) return;
    b.forward(collective::all_to_all, 0, b.result * chosen);
    if (b.tracked[0]) b.backward(collective::all_to_all, 0, b.result * chosen);
  }
  ref run(const shape& s, const auto& x, const auto& weights) const { return erased::combine(x.at, weights.at, *way, weighted, s); }
};
/// `In`: the summed dimensions.
template <class In, bool Dealt> struct grouped {
  double summed = 0;
  bool transposed = false;
  const erased::routes* way = nullptr;
  /// Experts are dealt to the ranks of tp; on other axes rows are only cut with their tokens.
  static constexpr outcome rule_on(int axis, placement x, placement w) { return rules::grouped(x, w, summed_along<In>(x), &info<routed>, Dealt && axis == tp::id); }
  constexpr void charge(bill& b) const {
    b.book->forward.flops += 2 * b.result * summed;
    b.book->backward.flops += 2 * b.result * summed * (double(b.tracked[0]) + double(b.tracked[1]));
  }
  ref run(const shape& s, const auto& x, const auto& w) const {
    const long k = x.at->s.tail(In::rank), n = s.tail(s.rank - 1);
    return erased::grouped(x.at, w.at, *way, n, k, transposed, s);
  }
};
template <bool Dealt> struct grouped_bias {
  const erased::routes* way = nullptr;
  static constexpr outcome rule_on(int axis, placement x, placement b) { return rules::grouped_bias(x, b, &info<routed>, Dealt && axis == tp::id); }
  constexpr void charge(bill& b) const { b.flops(1, 0); }
  ref run(const shape&, const auto& x, const auto& b) const { return erased::grouped_bias(x.at, b.at, *way); }
};
}  // namespace operations

namespace detail {
/// Does W lie with its experts? Known of a type; of a placement that is a value it is asked when it is used.
template <class W> constexpr bool lies_with_experts() {
  if constexpr (any_broken<W>) return false;
  else return operations::apart(value_of<place_in<W>>.on[0]);
}
template <class W> requires (!any_broken<W> && is_any<place_in<W>>) constexpr bool lies_with_experts() { return false; }
}  // namespace detail

/// Tokens dispatched: their rows, and what is done with rows. `Dealt`: to the ranks that have their experts.
template <class Rows, class Weights, bool Dealt = false> struct dispatched {
  Rows rows;                                           ///< (routed, features); on a GPU zeros lie behind them, see tensor/routes.hpp
  Weights weights;
  erased::routes way;
  double chosen = 1;
  bool weighted = false, travels = false, dealt = Dealt;

  /// Rows times the matrix of their expert. w: [experts, out..., in...], or [experts, in..., out...]; h ends in its `in`.
  /// @error SP107 the summed dimension is cut on one side only; SP101 rows are not where their experts are; SP301 a whole matrix on dealt rows.
  template <class H, class W> constexpr auto grouped(const H& h, const W& parameter) const {
    if constexpr (any_broken<H, Rows>) return broken{};
    else {
      const auto w = parameter.seen_by(h);
      using T = std::remove_const_t<decltype(w)>;
      if constexpr (any_broken<T>) return broken{};
      else {
        using out_dims = with_role<role::out, dims_in<T>>;
        using in_dims = with_role<role::in, dims_in<T>>;
        using in = plain<in_dims>;
        using op = operations::grouped<in, Dealt>;
        if constexpr (std::is_void_v<drop_back<dims_in<H>, in>>) {
          static_assert(verdict<code::dims_differ, free_operation<op>, fed<dims_in<H>>, needs<in>>::ok);
          return broken{};
        } else {
          using to = concat<drop_back<dims_in<H>, in>, plain<out_dims>>;
          constexpr bool transposed = info<nth_dim<dims_in<T>, 1>>.is == role::in;
          sizes_of<to> s;
          copy_sizes(s, h.sizes);
          copy_sizes(s, w.sizes);
          double k = 1;
          spot here{};
          if constexpr (is_ghost<H>) { if (h.at) here = h.at->where; } else here = self.where;
          for (int i = 0; i < w.sizes.rank; ++i)
            if (w.sizes.infos[std::size_t(i)]->is == role::in)
              k *= double(local_extent(w.sizes.infos[std::size_t(i)], w.sizes.n[std::size_t(i)], w.place(), here, w.sizes.table));
          using first = plain<first_of<out_dims>>;
          if constexpr (is_any<place_in<H>> || is_any<place_in<T>>) {
            using on_dealt = operations::grouped<in, true>;
            auto y = dealt ? apply<free_operation<on_dealt>, to, shard<first>, packed<first>>::op(on_dealt{k, transposed, &way}, s, h, w)
                           : apply<free_operation<op>, to, shard<first>, packed<first>>::op(op{k, transposed, &way}, s, h, w);
            y.made_by = w.made_by;                       // the matrix, which has a name; rows have none
            return y;
          } else return apply<free_operation<op>, to, shard<first>, packed<first>>::op(op{k, transposed, &way}, s, h, w);
        }
      }
    }
  }
  /// Rows plus the bias of their expert: [experts, out...]. @error SP104 rows are Partial and the bias is not, see replicated_as_partial.
  template <class H, class B> constexpr auto bias(const H& h, const B& parameter) const {
    if constexpr (any_broken<H, Rows>) return broken{};
    else {
      const auto b = parameter.seen_by(h);
      if constexpr (any_broken<decltype(b)>) return broken{};
      else {
        using op = operations::grouped_bias<Dealt>;
        if constexpr (is_any<place_in<H>> || is_any<place_in<decltype(b)>>) {
          using on_dealt = operations::grouped_bias<true>;
          if (dealt) return apply<free_operation<on_dealt>, dims_in<H>>::op(on_dealt{&way}, h.sizes, h, b);
        }
        return apply<free_operation<op>, dims_in<H>>::op(op{&way}, h.sizes, h, b);
      }
    }
  }
  /// (tokens..., features): each token's rows, weighted and summed.
  template <class H> constexpr auto combine(const H& h) const {
    if constexpr (any_broken<H, Rows>) return broken{};
    else {
      using to = concat<chop<dims_in<Weights>, 1>, dims<last_of<dims_in<H>>>>;
      sizes_of<to> s;
      copy_sizes(s, weights.sizes);
      copy_sizes(s, h.sizes);
      using op = operations::combine;
      return apply<free_operation<op>, to>::op(op{chosen, weighted, travels, &way}, s, h, weights);
    }
  }
};

namespace detail {
template <class X, class R, class P> constexpr auto dispatch(const X& x, const R& r, const P& parameter, bool on_the_way_in) {
  if constexpr (any_broken<X, R>) return dispatched<broken, broken>{};
  else {
    const auto w = parameter.seen_by(x);
    if constexpr (any_broken<decltype(w)>) return dispatched<broken, broken>{};
    else {
      using features = last_of<dims_in<X>>;
      using expert_dim = first_of<dims_in<decltype(w)>>;
      using op = operations::dispatch<features>;
      using to = dims<routed, features>;
      const double k = double(r.weights.sizes.n[std::size_t(r.weights.sizes.rank - 1)]);
      sizes_of<to> s;
      copy_sizes(s, x.sizes);
      if (!s.table) s.table = w.sizes.table;
      s.n[0] = long(double(x.sizes.count()) / double(x.sizes.n[std::size_t(x.sizes.rank - 1)]) * k);
      const bool apart = operations::apart(w.place().on[0]);
      const bool travels = apart && x.place().on[0].splits();
      erased::routes way;
      if constexpr (!is_ghost<X>)
        way = erased::routes_of(r.ids.at, &info<expert_dim>, w.sizes.n[0], apart ? rank_on() : 0, apart ? ranks_on() : 1, travels && ranks_on() > 1, w.sizes.table);
      const auto rows = apply<free_operation<op>, to, shard<routed>>::op(op{k, double(w.sizes.n[0]), on_the_way_in, travels, &way}, s, x, r.weights, w);
      using Rows = std::remove_const_t<decltype(rows)>;
      using Weights = std::remove_const_t<std::remove_reference_t<decltype(r.weights)>>;
      return dispatched<Rows, Weights, lies_with_experts<std::remove_const_t<decltype(w)>>()>{rows, r.weights, std::move(way), k, !on_the_way_in, travels, apart};
    }
  }
}
}  // namespace detail

// Facts of SP114.
namespace operations {
struct dispatch_call;
struct tokens_of_it;
struct choice_of_a_router;
struct parameter_of_experts;
}  // namespace operations
namespace detail {
/// Tokens, a router's choice, and something that is seen by tokens; what is broken has been reported.
template <class X, class R, class P> concept dispatches = any_broken<X, R> || (tensor_like<X> && is_routing<R> && requires(const X& x, const P& p) { p.seen_by(x); });
template <class... A> constexpr auto refused_dispatch() {
  static_assert(verdict<code::wrong_arguments, operations::dispatch_call, fed<A...>, needs<operations::tokens_of_it, operations::choice_of_a_router, operations::parameter_of_experts>>::ok);
  return dispatched<broken, broken>{};
}
}  // namespace detail

/// x (tokens..., features) to the experts of a parameter [experts, ...]; their results are weighted when they are combined.
/// @error SP102 experts are dealt and x or the weights are Invariant; SP101 x and the weights lie differently; SP103 Partial; SP114 other arguments.
template <class X, class R, class P> constexpr auto dispatch(const X& x, const R& chosen, const P& parameter) {
  if constexpr (detail::dispatches<X, R, P>) return detail::dispatch(x, chosen, parameter, false);
  else return detail::refused_dispatch<X, R, P>();
}
/// The same; what goes in is weighted, and what comes out is summed as it is (Llama 4).
template <class X, class R, class P> constexpr auto dispatch_weighted(const X& x, const R& chosen, const P& parameter) {
  if constexpr (detail::dispatches<X, R, P>) return detail::dispatch(x, chosen, parameter, true);
  else return detail::refused_dispatch<X, R, P>();
}

}  // namespace shardproof
