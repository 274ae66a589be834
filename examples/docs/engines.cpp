/// @file
/// The code of docs/engines.md.
#include "pages.hpp"
#include <vector>
#include <shardproof/engine/environment.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/types.hpp>

namespace {

//! [run]
bool sum_of_ranks() {
  bool right = true;
  sp::run(sp::mesh{.tp = 2, .dp = 2}, [&](int world_rank) {
    float x = float(world_rank);
    sp::self.on[sp::tp::id]->all_reduce(&x, 1, sp::dtype::f32);          // ranks 0 and 1, ranks 2 and 3
    if (x != (sp::rank_on(sp::dp::id) == 0 ? 1 : 5)) right = false;
  });
  return right;
}
//! [run]

//! [options]
bool a_rank_that_stops() {
  try {
    sp::run({.mesh = {.tp = 2}, .timeout_seconds = 2}, [] {
      if (sp::first_rank()) return;
      sp::self.world->barrier();                                         // nobody comes
    });
  } catch (const sp::error& e) { return e.which() == sp::code::rank_lost; }       // SP502, on every rank
  return false;
}
//! [options]

//! [communicator]
/// A communicator that passes everything on and counts calls: the whole interface.
class counted final : public sp::communicator {
 public:
  explicit counted(sp::communicator& inner) : inner_(inner) {}
  int calls = 0;
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_reduce(void* p, long count, sp::dtype t, sp::reduction r) override { ++calls; inner_.all_reduce(p, count, t, r); }
  void all_gather(const void* mine, void* whole, std::span<const long> counts, sp::dtype t) override {
    ++calls;
    inner_.all_gather(mine, whole, counts, t);
  }
  void reduce_scatter(const void* whole, void* mine, std::span<const long> counts, sp::dtype t) override {
    ++calls;
    inner_.reduce_scatter(whole, mine, counts, t);
  }
  void all_to_all(const void* send, std::span<const long> send_counts, void* receive, std::span<const long> receive_counts,
                  sp::dtype t) override {
    ++calls;
    inner_.all_to_all(send, send_counts, receive, receive_counts, t);
  }
  void broadcast(void* p, long count, sp::dtype t, int root) override { ++calls; inner_.broadcast(p, count, t, root); }
  void barrier() override { ++calls; inner_.barrier(); }
  sp::communicator& split(int color) override { ++calls; return inner_.split(color); }

 private:
  sp::communicator& inner_;
};

bool counts_calls() {
  int calls = 0;
  sp::run(2, [&] {
    counted mine(*sp::self.on[sp::tp::id]);
    sp::self.on[sp::tp::id] = &mine;                                     // from here on every collective of tp goes through it
    double x = 1;
    sp::self.on[sp::tp::id]->all_reduce(&x, 1, sp::dtype::f64);
    if (sp::first_rank()) calls = mine.calls;
  });
  return calls == 1;
}
//! [communicator]

//! [launcher]
bool launched() {
  const sp::launch l = sp::launch_environment();                         // SP503 if a variable is missing
  return l.by != sp::launcher::none || (l.rank == 0 && l.world_size == 1);
}
//! [launcher]

}  // namespace

bool engines() { return sum_of_ranks() && a_rank_that_stops() && counts_calls() && launched(); }
