/// @file
/// Greedy decoding with a KV cache. Logits sharded over the vocabulary are not gathered: ranks compare their best.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <shardproof/runtime/replay.hpp>
#include "session.hpp"

namespace cli {
namespace {

std::vector<std::int64_t> parse_tokens(const std::string& text, long vocabulary) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i <= text.size();) {
    const std::size_t end = std::min(text.find(',', i), text.size());
    std::int64_t n = -1;
    const auto r = std::from_chars(text.data() + i, text.data() + end, n);
    if (r.ec != std::errc() || r.ptr != text.data() + end)
      throw sp::error(sp::code::usage, "--tokens \"" + text + "\" is no list of token ids.",
                      "write numbers separated by commas.");
    if (n < 0 || n >= vocabulary)
      throw sp::error(sp::code::usage,
                      "token id " + std::to_string(n) + " is outside the vocabulary of " + std::to_string(vocabulary) + ".",
                      "tokenize with the model's own vocabulary.");
    out.push_back(n);
    i = end + 1;
  }
  return out;
}

struct candidate {
  double value, index;
};
/// The best of each rank's part of the vocabulary, after the last position: f64 [ranks, 2] of value and index. Collective; waits for nothing.
sp::ref candidates(const sp::token_logits& logits, long vocabulary) {
  const sp::placement p = logits.place().on[0];
  const sp::shape s = logits.at->s;
  const long width = s[-1], rows = s.lead(1);
  const sp::dtype t = logits.at->type;
  const sp::view last{
      static_cast<char*>(logits.at->data.get()) + std::size_t((rows - 1) * width) * sp::bytes_of(t), t, {1, width}};
  const long first = p.splits() ? sp::block_of(p.d, vocabulary, sp::rank_on(), sp::ranks_on(), logits.sizes.table).begin : 0;
  const sp::ref index = sp::leaf(sp::dtype::i64, {1}), value = sp::leaf(t, {1}), mine = sp::leaf(sp::dtype::f64, {1, 2});
  sp::device().row_argmax(index->v(), value->v(), last, first);
  const auto half = [&](int i) { return sp::view{static_cast<double*>(mine->data.get()) + i, sp::dtype::f64, {1}}; };
  sp::device().cast(half(0), value->v());
  sp::device().cast(half(1), index->v());
  if (!p.splits() || !sp::self.on[0]) return mine;
  const long ranks = sp::ranks_on();
  const sp::ref all = sp::leaf(sp::dtype::f64, {ranks, 2});
  sp::self.on[0]->all_gather(mine->data.get(), all->data.get(), std::vector<long>(std::size_t(ranks), 2), sp::dtype::f64);
  return all;
}
/// The most likely token; the smallest id of equals. @error SP001 no logit is a number.
std::int64_t best_of(const sp::ref& of_ranks) {
  std::vector<candidate> all(std::size_t(of_ranks->s[0]));
  sp::device().to_host(all.data(), of_ranks->v());
  candidate best{-1e300, -1};
  for (const auto& c : all)  // ranks hold the vocabulary in order, so that of equals the first is kept
    if (c.value > best.value) best = c;
  if (best.index < 0)  // none but NaN and minus infinity
    throw sp::error(sp::code::usage, "no logit is a number, so that no token is the likeliest.", "look for broken weights.");
  return std::int64_t(best.index);
}

}  // namespace

answer generate(const common_options& common, const generate_options& o) {
  const session s(common, o.folder, session::weights::opened);
  if (o.count < 0)
    throw sp::error(sp::code::usage, "--new " + std::to_string(o.count) + " is negative.", "pass --new of at least 0.");
  const std::vector<std::int64_t> prompt = parse_tokens(o.tokens, s.config.vocab_size);
  s.want_memory(1);
  std::optional<sp::io::atomic_writer> out;
  if (!o.stats.empty()) {
    refuse_overwriting("--stats", o.stats, s.read_files());
    if (sp::first_rank()) out.emplace(o.stats);
  }
  std::vector<std::int64_t> made;
  std::vector<double> flops;
  std::vector<rank_stats> stats;
  double prefill = 0, decode = 0;
  s.run([&] {
    auto lm = s.loaded();
    const sp::no_grad off;
    const bool captured = s.captures(*lm) && o.stats.empty();  // of which the host counts what each token costs
    sp::cache kv({.room = captured ? long(prompt.size()) + o.count : 0});
    sp::ref of_ranks;
    sp::replay step;
    std::vector<std::int64_t> mine;
    auto ids = sp::erased_ids(sp::whole(sp::tokens{1, long(prompt.size())}, prompt));
    sp::ledger total;
    sp::self.book = &total;
    double last_flops = 0;
    const bool keeps = sp::first_rank();
    const double begin = seconds_now();
    double first = begin;
    for (int i = 0; i < o.count; ++i) {
      const auto forward = [&] { of_ranks = candidates(lm->forward(ids, kv), s.config.vocab_size); };
      if (captured) kv.next(ids.at->s[1]);
      if (captured && i > 0) step(forward);
      else forward();
      const std::int64_t best = best_of(of_ranks);
      if (i == 0) first = seconds_now();
      if (keeps) flops.push_back(total.forward.flops - last_flops);
      last_flops = total.forward.flops;
      mine.push_back(best);
      const auto next = sp::erased_ids(sp::whole(sp::tokens{1, 1}, std::vector<std::int64_t>{best}));
      if (i == 0) ids = next;
      else sp::assign(ids, next);
      if (!o.ignore_eos && std::find(s.end_tokens.begin(), s.end_tokens.end(), best) != s.end_tokens.end()) break;
    }
    sp::self.book = nullptr;
    rank_stats r = stats_of(*lm, total);
    r.seconds = seconds_now() - begin;
    const std::vector<rank_stats> of_all = stats_of_all(r);
    if (keeps) {
      made = mine;
      stats = of_all;
      prefill = first - begin;
      decode = r.seconds - prefill;
    }
  });
  if (!sp::first_rank()) return answer::done;
  const double prefill_rate = prefill > 0 ? double(prompt.size()) / prefill : 0;
  const double decode_rate = decode > 0 && made.size() > 1 ? double(made.size() - 1) / decode : 0;
  if (out) {
    auto doc = sp::io::json_tree::object();
    auto list = sp::io::json_tree::array();
    for (double f : flops) list.push(f);
    doc.set("flop_per_step", std::move(list));
    doc.set("ranks", stats_tree(stats));
    out->write(doc.pretty() + "\n");
    out->commit();
  }
  std::string text;
  for (std::size_t i = 0; i < made.size(); ++i) text += (i ? "," : "") + std::to_string(made[i]);
  if (common.json) {
    auto doc = sp::io::json_tree::object();
    auto list = sp::io::json_tree::array();
    for (auto t : made) list.push(long(t));
    doc.set("tokens", std::move(list));
    doc.set("prefill_tokens_per_second", prefill_rate);
    doc.set("decode_tokens_per_second", decode_rate);
    doc.set("ranks", stats_tree(stats));
    std::printf("%s\n", doc.pretty().c_str());
  } else std::printf("%s\n", text.c_str());
  if (std::fflush(stdout) == 0 && !std::ferror(stdout))
    std::fprintf(stderr, "prefill %zu tokens, %.1f tok/s; decode %zu tokens, %.1f tok/s\n", prompt.size(), prefill_rate,
                 made.size(), decode_rate);
  return answer::done;
}

}  // namespace cli
