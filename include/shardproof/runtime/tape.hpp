#pragma once
/// @file
/// Reverse mode: nodes are numbered at creation and pulled in decreasing number, the same order on every rank.
///
///     sp::seed(loss_node, 1.0);  sp::pull_all(loss_node);
#include <vector>
#include <shardproof/runtime/node.hpp>
namespace shardproof {

/// Adds `value` to every element of y's gradient.
inline void seed(const ref& y, double value) {
  ref one = leaf(compute_type(y->type), y->s);
  device().fill(one->v(), value);
  device().accumulate(y->g(), one->v());
}

namespace detail {
/// Nodes still to pull, the youngest on top.
class pending {
  std::vector<ref> heap_;

 public:
  bool empty() const { return heap_.empty(); }
  void push(ref r) {
    std::size_t i = heap_.size();
    heap_.push_back(std::move(r));
    while (i && heap_[(i - 1) / 2]->id < heap_[i]->id) { std::swap(heap_[i], heap_[(i - 1) / 2]); i = (i - 1) / 2; }
  }
  ref pop() {
    ref top = std::move(heap_.front());
    heap_.front() = std::move(heap_.back());
    heap_.pop_back();
    for (std::size_t i = 0, c = 1; c < heap_.size(); i = c, c = 2 * i + 1) {
      if (c + 1 < heap_.size() && heap_[c + 1]->id > heap_[c]->id) ++c;
      if (heap_[i]->id >= heap_[c]->id) break;
      std::swap(heap_[i], heap_[c]);
    }
    return top;
  }
};
}  // namespace detail

/// Passes y's gradient to everything it was made of; frees what the pass no longer needs. Leaves keep their gradients.
/// A node's consumers are younger than it, so popping the youngest first meets every node after all of them.
[[gnu::noinline]] inline void pull_all(const ref& y) {
  const unsigned long pass = ++self.clock;
  detail::pending todo;
  y->visit = pass;
  todo.push(y);
  while (!todo.empty()) {
    const ref n = todo.pop();
    if (n->id == 0) continue;
    if (!n->pull)
      throw error(code::usage, "backward meets a value that an earlier backward has passed; what it was made of is given back.",
                  "compute it again, or add the losses up and call backward once.");
    for (const auto& i : n->in)
      if (i && i->tracked && std::exchange(i->visit, pass) != pass) {
        i->reopen();
        todo.push(i);
      }
    n->pull(*n);
    n->clear_gradient();
    n->forget();
  }
}

}  // namespace shardproof
