#pragma once
/// @file
/// A dimension is a named type; its extent is a constant, or is known at start-up.
///
///     struct hidden : sp::dim<4096> {};             struct seq : sp::dim<> {};
///     struct kv_heads : sp::dim<2, sp::groups> {};  struct q_heads : sp::dim<8, sp::grouped_by<kv_heads>> {};
///     using gate_up = sp::fused<ffn, ffn>;          using keys_of = sp::as<struct keys, seq>;
#include <array>
#include <string_view>
#include <type_traits>
#include <utility>
#include <shardproof/core/verdict.hpp>
namespace shardproof {

/// The unqualified name of T as it is written. Plain loops: string_view::find is no constant under g++ 12 -fsanitize.
template <class T> constexpr std::string_view type_name() {
  std::string_view s = __PRETTY_FUNCTION__;            // "... [with T = ns::x; std::string_view = ...]", "[T = ns::x]", "[with T=ns::x]"
  std::size_t from = 0;
  while (!(s[from] == 'T' && (s[from + 1] == '=' || (s[from + 1] == ' ' && s[from + 2] == '=')) && (s[from - 1] == '[' || s[from - 1] == ' '))) ++from;
  from += s[from + 1] == '=' ? 2 : 4;
  std::size_t to = from, scope = from;
  int depth = 0;
  for (; to < s.size() && !(depth == 0 && (s[to] == ';' || s[to] == ']')); ++to) {
    if (s[to] == '<' || s[to] == '[' || s[to] == '(' || s[to] == '{') ++depth;
    if (s[to] == '>' || s[to] == ']' || s[to] == ')' || s[to] == '}') --depth;
    if (depth == 0 && s[to] == ':' && s[to + 1] == ':') scope = to + 2;
  }
  return s.substr(scope, to - scope);
}

inline constexpr long dynamic = -1;

/// How a dimension is dealt to ranks: item by item, in whole units, in groups (copied when ranks outnumber them), or after its
/// groups.
enum class deal : unsigned char { items, units, groups, grouped };

// Options of a dimension.
struct units;                                          ///< dealt out whole and evenly: ungrouped heads, experts
struct groups;                                         ///< units that are copied when the ranks are a multiple of them: KV heads
struct uneven;                                         ///< units may be dealt unevenly, some ranks may get none
struct ragged;                                         ///< how many a rank holds is a fact of the data: tokens on their way to experts
template <long N> struct blocks_of;                    ///< dealt in blocks of N items: quantisation blocks
template <class G> struct grouped_by { using group = G; };   ///< follows G, which is `groups`: query heads

namespace detail {
template <class... O> struct group_in { using type = void; };
template <class G, class... O> struct group_in<grouped_by<G>, O...> { using type = G; };
template <class H, class... O> struct group_in<H, O...> : group_in<O...> {};
template <class... O> struct block_in { static constexpr long size = 1; };
template <long N, class... O> struct block_in<blocks_of<N>, O...> { static constexpr long size = N; };
template <class H, class... O> struct block_in<H, O...> : block_in<O...> {};
}  // namespace detail

/// Base of every dimension. Extent: a constant, or `dynamic` (the default), then given by sp::set_extents or by the input.
template <long Extent = dynamic, class... Options> struct dim {
  static constexpr long static_extent = Extent;
  using group = typename detail::group_in<Options...>::type;
  static constexpr long block = detail::block_in<Options...>::size;
  static constexpr bool is_uneven = (std::is_same_v<uneven, Options> || ...), is_ragged = (std::is_same_v<ragged, Options> || ...);
  static constexpr deal dealt = !std::is_void_v<group>                                   ? deal::grouped
                                : (std::is_same_v<groups, Options> || ...)              ? deal::groups
                                : (std::is_same_v<units, Options> || ...) || block > 1  ? deal::units
                                                                                        : deal::items;
  static constexpr bool group_fits() {
    if constexpr (std::is_void_v<group>) return true;
    else return group::dealt == deal::groups && (Extent == dynamic || group::static_extent == dynamic || Extent % group::static_extent == 0);
  }
  static_assert(verdict<group_fits() ? code::ok : code::grouped_wrongly, group, extent<Extent>>::ok);
};

/// An ordered list of dimensions; activations carry plain ones, parameters carry roles.
template <class... D> struct dims { static constexpr int rank = int(sizeof...(D)); };

/// Several dimensions laid end to end in one (gate | up; q | k | v). Parts may be unequal; `split` takes them apart.
template <class... D> struct fused : dim<((D::static_extent == dynamic) || ...) ? dynamic : (D::static_extent + ... + 0)> {
  using parts = dims<D...>;
};
inline constexpr int max_parts = 6;

/// Several dimensions as one, the first outermost: heads x features inside a fused dimension. Dealt as the first is; `split` gives the
/// dimensions back.
template <class Lead, class... Inner> struct flat
    : dim<(Lead::static_extent == dynamic || ((Inner::static_extent == dynamic) || ...)) ? dynamic : (Lead::static_extent * ... * Inner::static_extent)> {
  using lead = Lead;
  using factors = dims<Lead, Inner...>;
};

/// One of several values that lie side by side: fused<lane<0>, lane<1>> behind a dimension holds its pairs, and `split` takes them apart.
template <int I> struct lane : dim<1> { static constexpr bool dropped = true; };

/// D under another name: a tensor that would carry a dimension twice (scores seq x seq) renames one.
template <class Name, class D> struct as : D { using renamed = D; };

/// What a dimension is for in a parameter. A square layer carries one name twice; the role tells the two apart.
enum class role : unsigned char { none, out, in, rows, width, experts };
template <class D> struct out : D { using base = D; static constexpr role is = role::out; };            ///< a layer's output features
template <class D> struct in : D { using base = D; static constexpr role is = role::in; };              ///< a layer's input features
template <class D> struct rows : D { using base = D; static constexpr role is = role::rows; };          ///< rows of a table
template <class D> struct width : D { using base = D; static constexpr role is = role::width; };        ///< columns of a table
template <class D> struct per_expert : D { using base = D; static constexpr role is = role::experts; }; ///< one per expert

/// A dimension as a value: what the rule table, the partition and erased code see. One object per type; compared by address.
struct dim_info {
  std::string_view name;
  long extent = dynamic;
  deal dealt = deal::items;
  bool uneven = false, ragged = false;
  role is = role::none;
  long block = 1;
  const dim_info* group = nullptr;
  const dim_info* base = nullptr;                      ///< the dimension without its role
  const dim_info* renamed = nullptr;                   ///< the dimension whose extent this one has
  int parts = 0, factors = 0;                          ///< of a fused dimension, of a flat one
  std::array<const dim_info*, max_parts> part{};       ///< the one's parts, the other's factors
};
namespace detail { template <class D> constexpr dim_info describe(); }
template <class D> inline constexpr dim_info info = detail::describe<D>();

namespace detail {
template <class Name, class D> constexpr std::string_view new_name(const as<Name, D>*) { return type_name<Name>(); }
template <class... P> constexpr std::array<const dim_info*, max_parts> infos_of(dims<P...>) {
  std::array<const dim_info*, max_parts> out{};        // a fold: nvcc 13 loses the dots of {&info<P>...}
  std::size_t i = 0;
  ((out[i++] = &info<P>), ...);
  return out;
}
template <class D> constexpr dim_info describe() {
  dim_info i;
  if constexpr (requires { typename D::base; }) {
    i = info<typename D::base>;
    i.base = &info<typename D::base>;
    i.is = D::is;
  } else if constexpr (requires { typename D::renamed; }) {
    i = info<typename D::renamed>;
    i.renamed = &info<typename D::renamed>;
    i.name = new_name(static_cast<const D*>(nullptr));
  } else if constexpr (requires { typename D::parts; }) {
    i.name = "fused";
    i.extent = D::static_extent;
    i.parts = D::parts::rank;
    i.part = infos_of(typename D::parts{});
  } else if constexpr (requires { typename D::factors; }) {
    i = info<typename D::lead>;
    i.name = "flat";
    i.extent = D::static_extent;
    i.factors = D::factors::rank;
    i.part = infos_of(typename D::factors{});
  } else {
    i.name = type_name<D>();
    i.extent = D::static_extent;
    i.dealt = D::dealt;
    i.block = D::block;
    i.uneven = D::is_uneven;
    i.ragged = D::is_ragged;
    if constexpr (!std::is_void_v<typename D::group>) {
      i.group = &info<typename D::group>;
      i.uneven = D::is_uneven || D::group::is_uneven;
    }
  }
  return i;
}
}  // namespace detail

/// A parameter's dimension without its role.
constexpr const dim_info* base_of(const dim_info* d) { return d && d->base ? d->base : d; }
/// The factor of a flat dimension that is dealt; any other dimension itself.
constexpr const dim_info* lead_of(const dim_info* d) { return base_of(d)->factors ? base_of(d)->part[0] : base_of(d); }

// ---- lists of dimensions ------------------------------------------------------------------------------------------------
namespace detail {
template <class D> struct as_dims_impl { using type = dims<D>; };
template <class... D> struct as_dims_impl<dims<D...>> { using type = dims<D...>; };
template <class... L> struct concat_impl;
template <class... A> struct concat_impl<dims<A...>> { using type = dims<A...>; };
template <class... A, class... B, class... R> struct concat_impl<dims<A...>, dims<B...>, R...> : concat_impl<dims<A..., B...>, R...> {};
template <template <class> class Role, class D> struct roled_impl;
template <template <class> class Role, class... D> struct roled_impl<Role, dims<D...>> { using type = dims<Role<D>...>; };
template <class D> struct plain_impl { using type = D; };
template <class D> requires requires { typename D::base; } struct plain_impl<D> { using type = typename D::base; };
template <class... D> struct plain_impl<dims<D...>> { using type = dims<typename plain_impl<D>::type...>; };
template <int I, class... T> struct nth_type;
template <class H, class... T> struct nth_type<0, H, T...> { using type = H; };
template <int I, class H, class... T> requires (I > 0) struct nth_type<I, H, T...> : nth_type<I - 1, T...> {};
template <int I, class D> struct nth_dim_impl;
template <int I, class... D> struct nth_dim_impl<I, dims<D...>> : nth_type<I, D...> {};
template <class All, class Tail, class Lead> struct drop_back_impl { using type = void; };
template <class H, class... T, class E, class... R, class... L> struct drop_back_impl<dims<H, T...>, dims<E, R...>, dims<L...>>
    : drop_back_impl<dims<T...>, dims<E, R...>, dims<L..., H>> {};
template <class H, class... T, class... L> struct drop_back_impl<dims<H, T...>, dims<H, T...>, dims<L...>> { using type = dims<L...>; };
template <class... T, class... L> struct drop_back_impl<dims<T...>, dims<>, dims<L...>> { using type = dims<L..., T...>; };
template <class D, int N, class Lead> struct chop_impl { using type = Lead; };
template <class H, class... T, int N, class... L> requires (int(sizeof...(T)) >= N) struct chop_impl<dims<H, T...>, N, dims<L...>> : chop_impl<dims<T...>, N, dims<L..., H>> {};
template <role R, class D, class Done = dims<>> struct of_role { using type = Done; };
template <role R, class H, class... T, class... Done> struct of_role<R, dims<H, T...>, dims<Done...>>
    : of_role<R, dims<T...>, std::conditional_t<info<H>.is == R, dims<Done..., H>, dims<Done...>>> {};
template <class... D> inline constexpr bool distinct = true;
template <class H, class... T> inline constexpr bool distinct<H, T...> = !(std::is_same_v<H, T> || ...) && distinct<T...>;
}  // namespace detail

/// `dims<D>` for a single dimension, the list itself for a list.
template <class D> using as_dims = typename detail::as_dims_impl<D>::type;
template <class... L> using concat = typename detail::concat_impl<as_dims<L>...>::type;
/// Every dimension of the list in that role.
template <template <class> class Role, class D> using roled = typename detail::roled_impl<Role, as_dims<D>>::type;
/// Those that have that role.
template <role R, class D> using with_role = typename detail::of_role<R, as_dims<D>>::type;
/// Without roles.
template <class D> using plain = typename detail::plain_impl<D>::type;
template <int I, class... T> using nth = typename detail::nth_type<I, T...>::type;
template <class D, int I> using nth_dim = typename detail::nth_dim_impl<(I < 0 ? D::rank + I : I), D>::type;
template <class D> using first_of = nth_dim<as_dims<D>, 0>;
template <class D> using last_of = nth_dim<as_dims<D>, -1>;
/// `drop_back<dims<b, s, h>, dims<h>>` is `dims<b, s>`; `void` where the list does not end in Tail.
template <class All, class Tail> using drop_back = typename detail::drop_back_impl<All, as_dims<Tail>, dims<>>::type;
/// Without its last N dimensions.
template <class D, int N> using chop = typename detail::chop_impl<D, N, dims<>>::type;
template <class D, class X> inline constexpr bool carries = false;
template <class... D, class X> inline constexpr bool carries<dims<D...>, X> = (std::is_same_v<D, X> || ...);
/// No dimension occurs twice.
template <class D> inline constexpr bool names_once = true;
template <class... D> inline constexpr bool names_once<dims<D...>> = detail::distinct<D...>;

}  // namespace shardproof
