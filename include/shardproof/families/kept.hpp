#pragma once
/// @file
/// Values that models and tensors point to: kept for ever, equal ones once. A tensor may outlive the model that made it.
///
///     const sp::extent_table* t = sp::families::kept(table);
///     rotary.short_factor = sp::families::kept(std::move(factors))->data();     // equal lists have one address, so == may compare it
#include <utility>
namespace shardproof::families {

/// The one copy of a value, from any thread.
template <class T> const T* kept(T value) {
  struct link {
    T value;
    link* next;
  };
  static constinit link* head = nullptr;
  link* seen = __atomic_load_n(&head, __ATOMIC_ACQUIRE);
  for (link* l = seen; l; l = l->next) if (l->value == value) return &l->value;
  link* made = new link{std::move(value), seen};
  while (!__atomic_compare_exchange_n(&head, &made->next, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {}
  return &made->value;
}

}  // namespace shardproof::families
