#pragma once
/// @file
/// The rank mesh: named axes, and where one rank stands on them.
///
///     sp::mesh m{.tp = 4, .dp = 2};                        // 8 ranks; neighbours in world rank share a tp group
///     sp::spot s = m.at(5);                                // tp rank 1 of 4, dp rank 1 of 2
///     sp::rank<sp::tp> r{1};                               // never converts to a device index or to a rank of another axis
#include <array>
namespace shardproof {

/// Axes are tag types. `Id` orders them: 0 varies fastest over the world's ranks.
template <int Id> struct axis { static constexpr int id = Id; };
struct tp : axis<0> { static constexpr const char* name = "tp"; };   ///< tensor parallel; a bare placement means this axis
struct dp : axis<1> { static constexpr const char* name = "dp"; };   ///< data parallel
struct pp : axis<2> { static constexpr const char* name = "pp"; };   ///< reserved for a third axis (pipeline or context)
inline constexpr int max_axes = 3;
inline constexpr const char* axis_names[max_axes] = {tp::name, dp::name, pp::name};

/// A rank on one axis.
template <class Axis> struct rank {
  int value = 0;
  explicit constexpr rank(int v) : value(v) {}
  constexpr bool operator==(const rank&) const = default;
};

/// Where a rank stands: its place and the number of places on every axis.
struct spot {
  std::array<int, max_axes> rank{};
  std::array<int, max_axes> ranks{1, 1, 1};
  constexpr bool operator==(const spot&) const = default;
};

/// The extents of the mesh. World rank = tp + tp_size * (dp + dp_size * pp).
struct mesh {
  int tp = 1, dp = 1, pp = 1;
  constexpr int size() const { return tp * dp * pp; }
  constexpr spot at(int world_rank) const {
    return {{world_rank % tp, world_rank / tp % dp, world_rank / tp / dp}, {tp, dp, pp}};
  }
};

}  // namespace shardproof
