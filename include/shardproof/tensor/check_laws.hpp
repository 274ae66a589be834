#pragma once
/// @file
/// Is an operation's rule true? Runs it under every placement of its inputs and compares value and gradient with one device.
///
///     sp::sizes_of<sp::dims<batch, ffn>> sizes{4, 5};
///     auto on_threads = [](int ranks, auto body) { sp::run(ranks, body); };
///     sp::law_report r = sp::check_laws(on_threads, [](const auto& x) { return relu2(x); }, sizes);
///     if (!r.holds()) std::puts(r.where.c_str());
///
/// Every input is placed Invariant, Replicate, Partial (as random addends), sharded along each dimension, and where a dimension
/// is fused also packed and as a product. What the rule accepts must give, in f64, the value of one device and, for a random
/// cotangent in the dual placement, its gradient in the dual placements; all ranks must refuse alike; the collectives that are
/// charged must be the ones that are made; central differences check the gradient of one device. The runner's ranks must share
/// memory (engine `threads`).
#include <shardproof/tensor/laws/trial.hpp>
#include <shardproof/tensor/refuse.hpp>
namespace shardproof {

struct law_options {
  int ranks = 2;
  double tolerance = 1e-10;                            ///< of values and gradients, absolute; inputs are of size 1
  double slope_tolerance = 1e-6;                       ///< of gradients against central differences
  double step = 1e-5;                                  ///< of the differences; 0: they are not made
  bool bitwise = false;                                ///< inputs are small whole numbers, and results must be equal bit for bit
};
struct law_report {
  int accepted = 0, refused = 0, broken = 0;           ///< tuples of placements; broken ones are accepted and wrong
  double worst_value = 0, worst_gradient = 0;          ///< largest differences from one device
  double worst_slope = 0;                              ///< largest difference of its gradient from central differences
  std::string where;                                   ///< the first failure, in words; empty if the laws hold
  bool holds() const { return where.empty(); }
};
/// An input of whole numbers in [first, first + count): ids, labels. It has no gradient.
template <class D> struct ids_of {
  using dims_type = D;
  sizes_of<D> sizes;
  long count = 1, first = 0;
};

namespace laws {

template <class D> input make_input(const sizes_of<D>& s, std::uint64_t stream, drawn from) {
  input x;
  x.on_one_rank.d.assign(s.infos.begin(), s.infos.begin() + s.rank);
  x.on_one_rank.n.assign(s.n.begin(), s.n.begin() + s.rank);
  x.on_one_rank.table = s.table;
  for (long i = 0; i < s.count(); ++i) x.values.push_back(noise(stream, i, from));
  return x;
}
template <class D> input make_input(const ids_of<D>& ids, std::uint64_t stream, drawn from) {
  input x = make_input(ids.sizes, stream, from);
  x.integers = true;
  for (long i = 0; i < long(x.values.size()); ++i)
    x.values[std::size_t(i)] = double(ids.first + long(uniform_at(11, stream, std::uint64_t(i)) * double(ids.count)));
  return x;
}
template <class D> const sizes_of<D>& sizes_in(const sizes_of<D>& s) { return s; }
template <class D> const sizes_of<D>& sizes_in(const ids_of<D>& s) { return s.sizes; }

/// Every placement of an input that so many ranks can hold.
inline std::vector<placement> placements_of(const input& x, int ranks) {
  std::vector<placement> out{kind::invariant, kind::replicate, kind::partial};
  const lie& l = x.on_one_rank;
  for (std::size_t i = 0; i < l.d.size(); ++i) {
    const dim_info* d = l.d[i];
    if (dealable(d, l.n[i], ranks, l.table, d->is == role::in)) out.push_back({kind::shard, d});
    if (!d->parts) continue;
    out.push_back({kind::packed, d});
    if (d->is != role::none) continue;
    for (const kind first : {kind::invariant, kind::replicate}) {
      placement p{kind::product, d};
      for (int k = 0; k < d->parts; ++k)
        p.part[std::size_t(k)] = (k == 0) == (first == kind::invariant) ? kind::invariant : kind::replicate;
      out.push_back(p);
    }
  }
  return out;
}

/// Collects what goes wrong; the first failure in words.
class judge {
  const subject& s_;
  const law_options& o_;
  law_report& report_;
  std::vector<double> value_, cotangent_;
  std::vector<std::vector<double>> gradient_;

 public:
  judge(const subject& s, const law_options& o, law_report& r) : s_(s), o_(o), report_(r) {}

  /// The first tuple that one rank accepts says what is right.
  bool has_reference() const { return !value_.empty(); }
  void set_reference(const std::vector<placement>& places) {
    trial t = run_trial(s_, places, 1, {});
    if (!t.error.empty()) return fail(places, 1, "", t.error);
    if (t.refused()) return;
    value_ = t.ranks[0].value;
    for (long i = 0; i < long(value_.size()); ++i) cotangent_.push_back(noise(55, i, s_.from));
    t = run_trial(s_, places, 1, cotangent_);
    if (!t.error.empty()) { value_.clear(); return fail(places, 1, "", t.error); }
    gradient_ = t.ranks[0].gradient;
    if (o_.step > 0 && !o_.bitwise) check_slopes(places);
  }
  /// Checks a tuple on so many ranks; true if it is accepted.
  bool check(const std::vector<placement>& places, int ranks) {
    const trial t = run_trial(s_, places, ranks, cotangent_);
    if (t.refused()) return false;
    if (!t.error.empty()) { fail(places, ranks, "", t.error); return true; }
    const placement to = t.ranks[0].place;
    for (const auto& r : t.ranks)
      if (!(r.place == to)) {
        fail(places, ranks, "", "ranks differ in the result's placement");
        return true;
      }
    text_line arrow;
    arrow << " -> " << to;
    if (to.k == kind::varying) { fail(places, ranks, arrow.view(), "a result without a global value"); return true; }
    bool right = within(compare(t.values(), value_, placed(t.ranks[0].global, to, ranks)), report_.worst_value, places, ranks,
                        arrow.view(), "value");
    for (std::size_t i = 0; i < s_.inputs.size() && right; ++i) {
      if (s_.inputs[i].integers) continue;
      text_line what;
      what << "gradient of input " << long(i);
      right = within(compare(t.gradients(i), gradient_[i], placed(s_.inputs[i].on_one_rank, dual(places[i]), ranks, true)),
                     report_.worst_gradient, places, ranks, arrow.view(), what.view());
    }
    if (right) check_collectives(t, places, ranks, arrow.view());
    return true;
  }

 private:
  void fail(const std::vector<placement>& places, int ranks, std::string_view arrow, std::string_view what) {
    if (report_.broken++) return;
    text_line t;
    t << ranks << (ranks == 1 ? " rank, " : " ranks, ");
    for (std::size_t i = 0; i < places.size(); ++i) t << (i ? ", " : "") << places[i];
    t << arrow << ": " << what;
    report_.where = std::string(t.view());
  }
  bool within(const difference& d, double& worst, const std::vector<placement>& places, int ranks, std::string_view arrow,
              std::string_view what) {
    if (d.size > worst) worst = d.size;
    if (d.size <= (o_.bitwise ? 0 : o_.tolerance)) return true;
    text_line t;
    if (d.size == 1e300 && d.rank >= 0 && d.found == d.found)
      t << what << " has " << long(d.found) << " elements instead of " << long(d.expected) << " on rank " << d.rank;
    else {
      t << what << " is " << std::to_string(d.found) << " instead of " << std::to_string(d.expected) << " at element "
        << d.element;
      if (d.rank >= 0) t << " on rank " << d.rank;
      else t << ", summed over the ranks";
    }
    fail(places, ranks, arrow, t.view());
    return false;
  }
  void check_collectives(const trial& t, const std::vector<placement>& places, int ranks, std::string_view arrow) {
    for (std::size_t r = 0; r < t.ranks.size(); ++r)
      for (int way = 0; way < 2; ++way) {
        const pass& p = t.ranks[r].predicted[way];
        const int charged[] = {p.all_reduces, p.all_gathers, p.reduce_scatters, p.all_to_alls, p.broadcasts};
        for (int k = 0; k < 5; ++k) {
          if (charged[k] == t.ranks[r].made[way][k]) continue;
          text_line what;
          what << "charges " << charged[k] << " " << name_of(collective(k)) << (way ? " backward" : " forward") << " and makes "
               << t.ranks[r].made[way][k];
          return fail(places, ranks, arrow, what.view());
        }
      }
  }
  void check_slopes(const std::vector<placement>& places) {
    subject moved = s_;
    const auto dot = [&] {
      const trial t = run_trial(moved, places, 1, {});
      double sum = 0;
      for (std::size_t i = 0; i < value_.size(); ++i) sum += cotangent_[i] * t.ranks[0].value[i];
      return sum;
    };
    for (std::size_t k = 0; k < moved.inputs.size(); ++k) {
      if (moved.inputs[k].integers) continue;
      for (std::size_t i = 0; i < moved.inputs[k].values.size(); ++i) {
        double& x = moved.inputs[k].values[i];
        const double old = x;
        x = old + o_.step;
        const double above = dot();
        x = old - o_.step;
        const double below = dot();
        x = old;
        const double slope = (above - below) / (2 * o_.step), e = slope - gradient_[k][i], size = e != e ? 1e300 : e < 0 ? -e : e;
        if (size > report_.worst_slope) report_.worst_slope = size;
        if (size <= o_.slope_tolerance) continue;
        text_line t;
        t << "gradient of input " << long(k) << " is " << std::to_string(gradient_[k][i]) << ", but the slope is "
          << std::to_string(slope) << " at element " << long(i);
        return fail(places, 1, "", t.view());
      }
    }
  }
};

/// f(every tuple of placements).
template <class F> void each_tuple(const std::vector<std::vector<placement>>& options, F f) {
  std::vector<std::size_t> at(options.size());
  std::vector<placement> tuple(options.size());
  while (true) {
    for (std::size_t i = 0; i < at.size(); ++i) tuple[i] = options[i][at[i]];
    f(tuple);
    std::size_t i = at.size();
    while (i && ++at[i - 1] == options[i - 1].size()) at[--i] = 0;
    if (!i) return;
  }
}

[[gnu::noinline]] inline law_report check(const subject& s, const law_options& o) {
  law_report out;
  judge j(s, o, out);
  for (const int ranks : {1, o.ranks}) {
    std::vector<std::vector<placement>> options;
    for (const auto& x : s.inputs) options.push_back(placements_of(x, ranks));
    if (ranks == 1)
      each_tuple(options, [&](const auto& tuple) {
        if (!j.has_reference() && !out.broken) j.set_reference(tuple);
      });
    if (!j.has_reference()) {
      if (!out.broken) out.where = "every placement of the inputs is refused";
      return out;
    }
    out.accepted = out.refused = 0;
    each_tuple(options, [&](const auto& tuple) { ++(j.check(tuple, ranks) ? out.accepted : out.refused); });
  }
  return out;
}

}  // namespace laws

/// `runner(ranks, body)` runs body() on each of so many ranks; f takes a tensor per input, placed by value, and returns one.
/// An input is described by its `sizes_of`, or by `ids_of`. Parameters' roles are allowed: sizes_of<dims<out<ffn>, in<hidden>>>.
template <class Runner, class F, class... In> law_report check_laws(Runner runner, const law_options& o, F f, const In&... in) {
  laws::subject s;
  s.runner = [runner](int ranks, const std::function<void()>& body) { runner(ranks, body); };
  s.from = o.bitwise ? laws::drawn::whole : laws::drawn::real;
  std::uint64_t stream = 0;
  (s.inputs.push_back(laws::make_input(in, ++stream, s.from)), ...);
  s.operation = [&](const std::vector<laws::operand>& x) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      const auto y = f(tensor<data, typename In::dims_type, any>{laws::sizes_in(in), x[I].at, x[I].place}...);
      using Y = decltype(y.sizes);
      laws::result r{y.at, y.place().on[0], {}};
      r.global.d.assign(Y::infos.begin(), Y::infos.begin() + Y::rank);
      r.global.n.assign(y.sizes.n.begin(), y.sizes.n.begin() + Y::rank);
      r.global.table = y.sizes.table;
      return r;
    }(std::index_sequence_for<In...>{});
  };
  return laws::check(s, o);
}
template <class Runner, class F, class... In> requires (!std::is_same_v<F, law_options>)
law_report check_laws(Runner runner, F f, const In&... in) { return check_laws(runner, law_options{}, f, in...); }

}  // namespace shardproof
