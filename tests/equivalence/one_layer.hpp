#pragma once
// A model of one layer, measured on any number of ranks under a constexpr and a run-time plan: values, gradients, collectives.
#include <cstdio>
#include <map>
#include <string>
#include <catch2/catch.hpp>
#include <shardproof/engine/threads.hpp>
#include <shardproof/shardproof.hpp>
namespace one_layer {

struct rows : sp::dim<> {};                            // of the batch
inline constexpr int micro_batches = 2;

// ---- how the layer is reached from a whole tensor, and back ---------------------------------------------------------------
struct as_it_is { static constexpr auto open(const auto& x) { return x; } };
struct through_f { static constexpr auto open(const auto& x) { return sp::to_replicate(x); } };
template <class D> struct cut_along { static constexpr auto open(const auto& x) { return sp::to_shard(x, sp::along<D>{}); } };

template <class Y> constexpr auto closed(const Y& y) {
  using P = sp::place_in<Y>;
  if constexpr (sp::is_any<P>) return y.place().on[0].splits() ? sp::all_gather(y) : sp::reduced(y);
  else if constexpr (P::value.splits()) return sp::all_gather(y);
  else return sp::reduced(y);
}
template <class Kind, class Entry> struct of {
  template <class At> struct model {
    SP_LAYER(layer, Kind);
    constexpr auto forward(const auto& x) const { return closed(layer(Entry::open(x))); }
  };
};
template <class Style> inline constexpr sp::plan one_rule{Style{"layer"}};
inline constexpr sp::run_time_plan<> at_start_up;

// ---- measuring ---------------------------------------------------------------------------------------------------------------
inline double number(std::uint64_t stream, long i) { return 2 * sp::uniform_at(3, stream, std::uint64_t(i)) - 1; }

struct figures {
  std::vector<double> y[micro_batches], dx[micro_batches];
  std::map<std::string, std::vector<double>> gradients;
  std::string miscounted;
  sp::ledger book;
  long made[2][6]{};
};
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double d = a.size() == b.size() ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) d = std::max(d, std::abs(a[i] - b[i]));
  return d;
}
inline double difference(const figures& a, const figures& b) {
  double d = a.gradients.size() == b.gradients.size() ? 0 : 1e9;
  for (int k = 0; k < micro_batches; ++k) d = std::max({d, difference(a.y[k], b.y[k]), difference(a.dx[k], b.dx[k])});
  for (const auto& [name, g] : a.gradients) d = std::max(d, b.gradients.count(name) ? difference(g, b.gradients.at(name)) : 1e9);
  return d;
}
/// What was charged against what was made. Bytes are exact on the first rank; one that holds a copy of another's heads is charged
/// for a part that it does not send.
inline std::string compared(const sp::pass& p, const sp::traffic_counters& before, const sp::traffic_counters& after) {
  const int charged[] = {p.all_reduces, p.all_gathers, p.reduce_scatters, p.all_to_alls, p.broadcasts};
  double bytes = 0;
  std::string out;
  for (int k = 0; k < 5; ++k) {
    bytes += after.bytes[k] - before.bytes[k];
    if (const long made = after.calls[k] - before.calls[k]; made != charged[k])
      out +=
          std::to_string(charged[k]) + " " + sp::name_of(sp::collective(k)) + " charged and " + std::to_string(made) + " made; ";
  }
  if (sp::rank_on() == 0 ? bytes != p.bytes : bytes > p.bytes)
    out += std::to_string(p.bytes) + " bytes charged and " + std::to_string(bytes) + " moved; ";
  return out;
}

/// On this rank. `ids` > 0: the input is so many different ids.
template <class Model, class X> figures measure_here(Model& m, const X& sizes, long ids) {
  figures out;
  sp::fill(m, [](std::string_view name, long i) { return number(sp::stream_of(name), i); }, sp::dtype::f64);
  const sp::traffic_counters none;
  const auto counters = [&] { return sp::self.on[0] ? sp::self.on[0]->counters() : none; };
  for (int k = 0; k < micro_batches; ++k) {
    const std::uint64_t stream = std::uint64_t(10 + k);
    std::vector<double> values;
    std::vector<long> whole_numbers;
    for (long i = 0; i < sizes.count(); ++i) {
      values.push_back(number(stream, i));
      if (ids) whole_numbers.push_back(long(double(ids) * sp::uniform_at(4, stream, std::uint64_t(i))));
    }
    auto x = ids ? sp::whole(sizes, whole_numbers) : sp::whole(sizes, values);
    x.at->tracked = x.at->accumulates = !ids;
    sp::ledger book;
    sp::self.book = &book;
    const auto start = counters();
    auto y = m.forward(x);
    const auto middle = counters();
    sp::self.book = nullptr;
    std::vector<double> dy;
    for (long i = 0; i < y.at->s.count(); ++i) dy.push_back(number(stream + 100, i));
    sp::device().from_host(y.at->g(), dy.data());
    out.y[k] = sp::values(y);
    const auto before = counters();
    sp::pull_all(y.at);
    out.miscounted += compared(book.forward, start, middle) + compared(book.backward, before, counters());
    if (!ids) out.dx[k] = sp::gradient(x);
    out.book = book;
  }
  const auto all = sp::parameters(m);
  sp::finish_gradients(all);
  for (const auto& p : all) out.gradients[p.name] = sp::gathered_gradient(p);
  return out;
}

/// One figure per rank. `text` is the plan of a model that is bound at start-up.
template <class Model, class X>
std::vector<figures> measure(int ranks, const sp::extent_table& table, const std::string& text, long ids = 0) {
  std::vector<figures> out{std::size_t(ranks)};
  sp::run(ranks, [&] {
    Model m;
    sp::set_extents(m, &table);
    if constexpr (!sp::detail::plan_in<Model>::type::typed) sp::bind(m, sp::parse_plan(text));
    figures f = measure_here(m, X(&table), ids);
    if constexpr (sp::detail::plan_in<Model>::type::typed) {
      // What a ghost of the first rank is charged is what the first rank was charged.
      sp::imagined world{.where = {{}, {ranks, 1, 1}}, .element_bytes = 8};
      (void)m.forward(sp::tensor<sp::ghost, typename X::dims_type>{X(&table), &world, sp::invariant_everywhere, "input", !ids});
      const auto same = [](const sp::pass& a, const sp::pass& b) {
        return a.collectives() == b.collectives() && a.bytes == b.bytes && a.flops == b.flops;
      };
      if (sp::rank_on() == 0 && !(same(world.book.forward, f.book.forward) && same(world.book.backward, f.book.backward)))
        f.miscounted += "the ghost imagines another cost; ";
      if (sp::rank_on() == 0 && world.book.schedule != f.book.schedule) f.miscounted += "the ghost imagines another schedule; ";
    }
    out[std::size_t(sp::rank_on())] = std::move(f);
  });
  return out;
}

struct worst { double difference = 0; int runs = 0; };
/// A style on a layer with these extents, on so many ranks, under both kinds of plan, against the layer whole on one rank.
template <class Style, class Kind, class Entry, class X>
void check(worst& w, const sp::extent_table& table, const std::vector<int>& ranks, long ids = 0) {
  using model = of<Kind, Entry>;
  const figures one =
      measure<typename of<Kind, as_it_is>::template model<sp::at<one_rule<sp::replicated>>>, X>(1, table, "", ids)[0];
  REQUIRE(one.miscounted == "");
  const std::string text = std::string(R"({"layer": ")") + Style::name + "\"}";
  for (const int n : ranks)
    for (const bool later : {false, true}) {
      const auto all = later ? measure<typename model::template model<sp::at<at_start_up>>, X>(n, table, text, ids)
                             : measure<typename model::template model<sp::at<one_rule<Style>>>, X>(n, table, "", ids);
      for (int r = 0; r < n; ++r) {
        const figures& f = all[std::size_t(r)];
        INFO(Style::name << " under a " << (later ? "run-time" : "constexpr") << " plan, rank " << r << " of " << n);
        CHECK(f.miscounted == "");
        CHECK(difference(f, one) < 1e-12);
        w.difference = std::max(w.difference, difference(f, one));
      }
      ++w.runs;
    }
}
inline void print(const char* what, const worst& w) {
  std::printf("%-58s %4d runs, worst difference from one device %.1e\n", what, w.runs, w.difference);
}

}  // namespace one_layer
