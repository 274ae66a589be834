#pragma once
/// @file
/// Ids that come from a program's data: tokens, labels.
///
///     erased::require_ids("ids", ids.at, 0, vocabulary);                   // SP001: ids of type f32; ids hold 131, and there are 128 rows
#include <shardproof/runtime/node.hpp>
#include <shardproof/tensor/refuse.hpp>
namespace shardproof::erased {

/// Ids are i64 and name one of the `to` rows or classes there are; `from` is -2^63 where negative ones mean "none".
/// @error SP001 with the id.
[[gnu::noinline]] inline void require_ids(const char* what, const ref& ids, long from, long to) {
  text_line t;
  if (ids->type != dtype::i64) {
    t << what << " are of type " << name_of(ids->type) << ".";
    throw error(code::usage, t.view(), "pass whole numbers: sp::input(model, sizes, std::vector<long>{...}).");
  }
  if (!live(ids)) return;
  const long at = device().first_outside(ids->v(), from, to);
  if (at < 0) return;
  std::int64_t id = 0;
  device().to_host(&id, {static_cast<std::int64_t*>(ids->data.get()) + at, dtype::i64, {1}});
  t << what << " hold " << long(id) << ", and there are " << to << " rows.";
  throw error(code::usage, t.view(), "pass ids from 0 on below that number (labels that do not count: -100).");
}

}  // namespace shardproof::erased
