#pragma once
/// @file
/// One run of an operation on so many ranks under one placement of each input, without its types.
///
///     sp::laws::trial t = sp::laws::run_trial(operation, places, ranks, cotangent);
///     if (t.refused()) ...; else compare(t.values(), ...)
#include <exception>
#include <functional>
#include <string>
#include <shardproof/runtime/tape.hpp>
#include <shardproof/tensor/laws/share.hpp>
#include <shardproof/tensor/tensor.hpp>
namespace shardproof::laws {

/// What operands' gradients hold before an operation pulls, so that one that overwrites them is found out.
inline constexpr double already_there = 0.5;

/// A whole input.
struct input {
  lie on_one_rank;
  bool integers = false;
  std::vector<double> values;
};
/// An input as one rank holds it.
struct operand { ref at; placement place; };
struct result { ref at; placement place; lie global; };

/// What is tried: how to start ranks, and the operation on operands.
struct subject {
  std::function<void(int, const std::function<void()>&)> runner;
  std::function<result(const std::vector<operand>&)> operation;
  std::vector<input> inputs;
  drawn from = drawn::real;
};

/// What one rank reports. Ranks share memory and write only their own.
struct outcome_of_rank {
  code refusal = code::ok;
  placement place;
  std::vector<double> value;
  std::vector<std::vector<double>> gradient;
  lie global;
  pass predicted[2];                                   ///< forward and backward, as charged
  long made[2][6]{};                                   ///< collectives of each kind
};
struct trial {
  std::vector<outcome_of_rank> ranks;
  std::string error;                                   ///< what stopped it, if it was no refusal
  bool refused() const { return error.empty() && ranks[0].refusal != code::ok; }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> out;
    for (const auto& r : ranks) out.push_back(r.value);
    return out;
  }
  std::vector<std::vector<double>> gradients(std::size_t of_input) const {
    std::vector<std::vector<double>> out;
    for (const auto& r : ranks) out.push_back(r.gradient[of_input]);
    return out;
  }
};

inline std::vector<double> read(const view& v) {
  std::vector<double> out(std::size_t(v.count()));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = device().read(v, long(i));
  return out;
}
inline void write(const view& to, const std::vector<double>& values) {
  visit(to.type, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> host(values.size());
    for (std::size_t i = 0; i < host.size(); ++i) {
      if constexpr (sizeof(T) == 2) host[i] = T(float(values[i]));
      else host[i] = T(values[i]);
    }
    if (!host.empty()) device().from_host(to, host.data());
  });
}
/// A rule's refusal (SP101 to SP116, SP301), not a failure.
inline bool is_refusal(code c) { return (number(c) >= 101 && number(c) < 200) || number(c) == 301; }

inline lie placed(const lie& one, placement p, int ranks, bool cotangent = false) {
  lie l = one;
  l.place = p;
  l.ranks = ranks;
  l.cotangent = cotangent;
  return l;
}

/// On one rank. `cotangent`: of the whole result; empty: forward only.
inline void run_on_rank(const subject& s, const std::vector<placement>& places, const std::vector<double>& cotangent,
                        outcome_of_rank& out) {
  const int rank = rank_on(), ranks = ranks_on();
  std::vector<operand> in;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    const input& x = s.inputs[i];
    const lie l = placed(x.on_one_rank, places[i], ranks);
    shape local;
    for (std::size_t k = 0; k < l.d.size(); ++k) local.push(local_extent(l.d[k], l.n[k], l.place, rank, ranks, l.table));
    const ref at = leaf(x.integers ? dtype::i64 : dtype::f64, local);
    write(at->v(), share(x.values, l, rank, 100 * (i + 1), x.integers, s.from));
    at->tracked = !x.integers;
    at->accumulates = true;
    in.push_back({at, places[i]});
  }
  ledger book;
  self.book = &book;
  const auto made = [&](long (&now)[6], int sign) {
    if (self.on[0]) for (int k = 0; k < 6; ++k) now[k] += sign * self.on[0]->counters().calls[k];
  };
  try {
    made(out.made[0], -1);
    const result y = s.operation(in);
    made(out.made[0], 1);
    out.place = y.place;
    out.global = y.global;
    out.value = read(y.at->v());
    if (!cotangent.empty()) {
      if (y.at->tracked) {
        // A gradient is added to what is there: operands may have other uses.
        for (const auto& x : in) if (x.at->tracked && x.at.get() != y.at.get()) device().fill(x.at->g(), already_there);
        write(y.at->g(), share(cotangent, placed(y.global, dual(y.place), ranks, true), rank, 900, false, s.from));
        made(out.made[1], -1);
        pull_all(y.at);
        made(out.made[1], 1);
      } else book.backward = {};
      for (const auto& x : in) {
        out.gradient.push_back(x.at->tracked ? read(x.at->g()) : std::vector<double>{});
        if (y.at->tracked && x.at.get() != y.at.get()) for (double& g : out.gradient.back()) g -= already_there;
      }
    }
    out.predicted[0] = book.forward;
    out.predicted[1] = book.backward;
  } catch (const error& e) {
    if (!is_refusal(e.which())) throw;
    out.refusal = e.which();
  }
}

inline trial run_trial(const subject& s, const std::vector<placement>& places, int ranks, const std::vector<double>& cotangent) {
  trial t;
  t.ranks.resize(std::size_t(ranks));
  try {
    s.runner(ranks, [&] { run_on_rank(s, places, cotangent, t.ranks[std::size_t(rank_on())]); });
  } catch (const std::exception& e) { t.error = e.what(); }
  for (const auto& r : t.ranks)
    if (t.error.empty() && r.refusal != t.ranks[0].refusal) t.error = "one rank refuses what another accepts";
  return t;
}

}  // namespace shardproof::laws
