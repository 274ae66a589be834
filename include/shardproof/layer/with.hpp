#pragma once
/// @file
/// A style welded to a layer, for who wants no plan: the layer's type is the one that a plan would have given it.
///
///     sp::with<sp::colwise, sp::linear<hidden, ffn>, struct up_proj> up_proj;        // path "up_proj", weight "up_proj.weight"
///     sp::with<sp::rowwise, sp::linear<ffn, hidden>> down;                           // path "rowwise": the style's name
///     auto y = down(sp::silu(up_proj(x)));                                           // checked as under a plan
#include <shardproof/layer/run_time.hpp>
namespace shardproof {

/// The plan of one layer: the style, whatever the path.
template <class Style, class Settings = settings<invariant>> struct welded {
  static constexpr bool typed = true;
  using set = Settings;
  using styles = style_list<Style>;
  int ranks = 0;                                       ///< on tp; 0: not known while compiling
  static constexpr int find(std::string_view) { return 0; }
  static constexpr int rule_count() { return 0; }
  static constexpr int style_of_rule(int) { return 0; }
  static constexpr plan_fault fault() { return {}; }
  template <class F> static constexpr void each_pattern(F) {}
};
namespace detail {
// A member: nvcc 13 takes a variable template for another one when it meets it a second time.
template <class Style, int Ranks> struct welded_to {
  static constexpr welded<Style> plan{Ranks};
  using where = at<plan>;
};
}  // namespace detail

/// `Tag` names it in checkpoints and messages. `Ranks`: refuse while compiling what so many ranks cannot share (SP105).
template <class Style, class Kind, class Tag = Style, int Ranks = 0> using with = layer<typename detail::welded_to<Style, Ranks>::where, Tag, Kind>;

}  // namespace shardproof
