#pragma once
/// @file
/// Keys and values kept between calls of forward: its last argument. A stack hands slot i to its i-th layer; modules keep no state.
///
///     model.forward(ids, sp::no_cache);                                  // training
///     sp::cache kv;  sp::no_grad off;  model.forward(prompt, kv);  model.forward(next, kv);
///     sp::cache either{.on = training ? false : true};                   // one instantiation of forward serves both
///     sp::imagined_cache past{128};                                      // for ghosts: 128 steps are kept already
///     sp::cache fixed{{.room = 1024}};  fixed.next(1);  model.forward(next, fixed);     // for steps that are captured (runtime/replay.hpp)
#include <vector>
#include <shardproof/tensor/ops/attention.hpp>
#include <shardproof/tensor/ops/rope.hpp>
namespace shardproof {

struct no_cache_t {
  constexpr const no_cache_t& slot(const char*, long) const { return *this; }
  constexpr struct positions positions() const { return {}; }
  constexpr struct positions start() const { return {}; }
  template <tensor_like K, tensor_like V> constexpr key_value<K, V> extend(const K& k, const V& v) const { return {k, v}; }
};
inline constexpr no_cache_t no_cache{};

/// Keeps nothing; for ghosts, and for dry runs.
struct imagined_cache {
  long length = 0;
  constexpr const imagined_cache& slot(const char*, long) const { return *this; }
  constexpr struct positions positions() const { return {length}; }
  constexpr struct positions start() const { return {length}; }
  template <tensor_like K, tensor_like V> constexpr key_value<K, V> extend(const K& k, const V& v) const { return {grown(k), grown(v)}; }

 private:
  template <class X> constexpr X grown(X x) const {
    if constexpr (is_ghost<X>) {
      if constexpr (!any_broken<X>) {
        x.sizes.n[std::size_t(dims_in<X>::rank - 3)] += length;
        if (x.at) x.at->book.cache_bytes += x.at->element_bytes * local_count(x.sizes, x.place(), x.at->where);
      }
    } else {
      x.sizes.n[std::size_t(dims_in<X>::rank - 3)] += length;
      shape s = x.at->s;
      s.n[s.rank - 3] += length;
      if (self.book) self.book->cache_bytes += double(bytes_of(x.at->type)) * double(s.count());
      x.at = leaf(x.at->type, s);
    }
    return x;
  }
};

namespace erased {
/// What one layer has kept: [batch, length, heads, dim], grown in place where the batch is one row.
struct kept_rows {
  ref all;
  long capacity = 0;
  void require_like(const ref& x) const {
    if (all->s[0] == x->s[0] && all->s[2] == x->s[2] && all->s[3] == x->s[3] && all->type == x->type) return;
    text_line what;
    what << "a cache of " << all->s[0] << " sequences of " << all->s[2] << " heads of " << all->s[3] << " features in " << name_of(all->type) << " is extended by "
         << x->s[0] << " of " << x->s[2] << " of " << x->s[3] << " in " << name_of(x->type) << ".";
    throw error(code::usage, what.view(), "clear() it between requests.");
  }
  /// All the room there is, x in it where `counted` says on the device.
  ref place(const ref& x, long room, const node& counted) {
    if (all) require_like(x);
    else {
      all = leaf(x->type, {x->s[0], room, x->s[2], x->s[3]});
      device().fill(all->v(), 0);
    }
    const long row = x->s[2] * x->s[3];
    if (row) device().place({.dst = all->v(), .src = x->v(), .at = {counted.data.get(), dtype::i64, {1}}, .outer = x->s[0], .room = room, .rows = x->s[1], .width = row});
    return all;
  }
  /// Everything kept so far and x behind it.
  ref append(const ref& x, long length) {
    const long b = x->s[0], t = x->s[1], row = x->s[2] * x->s[3], total = length + t;
    if (length && all) require_like(x);
    if (b == 1 && total > capacity) {
      const long room = total > 2 * capacity ? (total + 63) / 64 * 64 : 2 * capacity;
      ref bigger = leaf(x->type, {1, room, x->s[2], x->s[3]});
      if (length && row) device().copy({.dst = bigger->v(), .src = all->v(), .rows = 1, .width = length * row, .dst_row = room * row, .src_row = length * row});
      all = bigger;
      capacity = room;
    } else if (b != 1) {
      ref bigger = leaf(x->type, {b, total, x->s[2], x->s[3]});
      if (length && row) device().copy({.dst = bigger->v(), .src = all->v(), .rows = b, .width = length * row, .dst_row = total * row, .src_row = length * row});
      all = bigger;
      capacity = total;
    }
    ref out(new node);
    out->type = x->type;
    out->s = {b, total, x->s[2], x->s[3]};
    out->data = all->data;                             // the first `total` rows of the room
    if (row) device().copy({.dst = out->v(), .src = x->v(), .rows = b, .width = t * row, .dst_row = total * row, .dst_at = length * row, .src_row = t * row});
    return out;
  }
};
}  // namespace erased

class cache;
/// One layer's part of a cache.
class cache_slot {
  erased::kept_rows k_, v_;
  long length_ = 0;
  bool on_ = true;
  cache* owner_ = nullptr;
  const char* stack_ = "";
  long number_ = 0;
  const cache_slot* parent_ = nullptr;
  long used_ = 0;                                      // the announcement of next() that came last
  friend class cache;
  inline void use_announcement();

 public:
  inline struct positions positions() const;
  long length() const { return length_; }
  inline cache_slot& slot(const char* stack, long i);
  /// @error SP001 the tape records: the gradient of what is kept would be lost.
  template <tensor_like K, tensor_like V> key_value<K, V> extend(const K& k, const V& v) {
    key_value<K, V> out{k, v};
    if (!on_) return out;
    if (self.dry) return imagined_cache{length_}.extend(k, v);
    if (self.tape && (k.tracked() || v.tracked()))
      throw error(code::usage, "a cache is extended while the tape records: the gradient of what it keeps would be lost.", "use sp::no_grad around decoding, or pass sp::no_cache (cache{.on = false}) to train.");
    constexpr std::size_t seq = std::size_t(dims_in<K>::rank - 3);
    if (const struct positions at = positions(); at.room) {
      use_announcement();
      (void)erased::counted_ids(at, k.at->s[1]);
      out.k.at = k_.place(k.at, at.room, *at.counted);
      out.v.at = v_.place(v.at, at.room, *at.counted);
      out.counted = at.counted;
      out.k.sizes.n[seq] = out.v.sizes.n[seq] = at.room;
      return out;
    }
    if (device().capturing())
      throw error(code::usage, "a captured step extends a cache without room, whose keys lie elsewhere each time.", "give it room, sp::cache{{.room = n}}, and call next() before each step.");
    out.k.at = k_.append(k.at, length_);
    out.v.at = v_.append(v.at, length_);
    length_ += k.at->s[1];
    out.k.sizes.n[seq] = out.v.sizes.n[seq] = length_;
    return out;
  }
};

/// Slots are keyed by the stack's path and the layer's number, so that two stacks do not collide.
class cache {
  std::vector<cache_slot*> slots_;                     // stable addresses: slots are handed out by reference
  cache_slot off_;
  bool on_ = true;
  long room_ = 0, counted_ = 0;                        // with room: how many positions have been announced
  ref numbers_;                                        // of the step, see positions::counted
  ref room_of_numbers_;                                // where they are, however many: captured steps read them there
  long steps_ = 0;                                     // that have been announced
  friend class cache_slot;
  /// Of a slot that has kept `length`.
  struct positions at(long length) const {
    if (!room_) return {length};
    if (!numbers_) throw error(code::usage, "a cache with room is used before its first step is announced.", "call cache.next(n) before each forward with n positions.");
    return {counted_ - (numbers_->s[0] - 2), numbers_.get(), room_};
  }
  cache_slot& find(const cache_slot* parent, const char* stack, long i) {
    if (!on_) return off_;
    const auto is = [&](const cache_slot& s) { return s.number_ == i && s.stack_ == stack && s.parent_ == parent; };
    if (i >= 0 && i < long(slots_.size()) && is(*slots_[std::size_t(i)])) return *slots_[std::size_t(i)];
    for (auto& s : slots_) if (is(*s)) return *s;
    auto& s = *slots_.emplace_back(new cache_slot);
    s.owner_ = this;
    s.stack_ = stack;
    s.number_ = i;
    s.parent_ = parent;
    return s;
  }

 public:
  /// `room`: positions there is memory for from the start. Keys then stay where they are and steps of equal length do the same on
  /// the device, as sp::replay needs; each is announced by `next`.
  struct options { bool on = true; long room = 0; };
  cache() : cache(options{}) {}
  explicit cache(options o) : on_(o.on), room_(o.on ? o.room : 0) { off_.on_ = false; off_.owner_ = this; }
  cache(const cache&) = delete;
  cache_slot& slot(const char* stack, long i) { return find(nullptr, stack, i); }
  /// Of a model without a stack: the cache is its own only slot.
  struct positions positions() { return slot("", 0).positions(); }
  template <tensor_like K, tensor_like V> key_value<K, V> extend(const K& k, const V& v) { return slot("", 0).extend(k, v); }
  /// Where a call of forward starts, in front of the stack: for tables of learned positions.
  struct positions start() const { return at(length()); }
  /// The next forward is of n positions: where they stand, for the device. Outside of what is captured. @error SP001 no room, or not enough.
  void next(long n = 1) {
    if (n < 1 || n > room_ - counted_) {
      text_line t;
      if (n < 1) t << "a step of " << n << " positions is announced.";
      else if (!room_) t << "positions are announced to a cache without room.";
      else t << "a cache with room for " << room_ << " positions holds " << counted_ << ", and " << n << " more are announced.";
      throw error(code::usage, t.view(), "make it with more room: sp::cache{{.room = n}}; clear() it between requests.");
    }
    std::vector<std::int64_t> at{counted_, counted_ + n};
    for (long i = 0; i < n; ++i) at.push_back(counted_ + i);
    if (!room_of_numbers_) room_of_numbers_ = leaf(dtype::i64, {room_ + 2});
    numbers_ = ref(new node);
    numbers_->type = dtype::i64;
    numbers_->s = {n + 2};
    numbers_->data = room_of_numbers_->data;
    ++steps_;
    if (live(numbers_)) device().from_host(numbers_->v(), at.data());
    counted_ += n;
  }
  /// Steps kept so far.
  long length() const { return room_ ? counted_ : slots_.empty() ? 0 : slots_.front()->length(); }
  /// Forgets all; a cache with room keeps its memory, which a captured step writes to.
  void clear() {
    counted_ = 0;
    if (room_) return;
    for (auto* s : slots_) delete s;
    slots_.clear();
  }
  ~cache() { for (auto* s : slots_) delete s; }
};
/// @error SP001 its positions were kept before: they would be written over.
inline void cache_slot::use_announcement() {
  if (std::exchange(used_, owner_->steps_) == owner_->steps_)
    throw error(code::usage, "a cache with room is extended twice for one announcement.", "call cache.next(n) before each forward with n positions.");
}
inline struct positions cache_slot::positions() const { return owner_->at(length_); }
inline cache_slot& cache_slot::slot(const char* stack, long i) { return on_ ? owner_->find(this, stack, i) : *this; }

}  // namespace shardproof
