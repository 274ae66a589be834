#pragma once
/// @file
/// What the GPU benches print: a JSON line for each figure, with its ratio, limit and gate.
///
///     bench::pairs p;  for (...) p.add(ours(), theirs());                                // they take turns, so that both meet the same clock
///     bench::line l("G1", "block products", "8B bf16");  l.add("m", 16).add("us", p.first.median());
///     l.ratio(p.ratios, {.limit = 1, .gate = 0.95}).print();
///
/// bench/gpu/run.sh makes its table of these lines: `row`, `what`, `group`, `ratio`, `limit`, `gate` and `pass`.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
namespace bench {

struct numbers {
  std::vector<double> all;
  void add(double x) { all.push_back(x); }
  double quantile(double q) const {
    if (all.empty()) return 0;
    std::vector<double> v = all;
    std::sort(v.begin(), v.end());
    return v[std::min(v.size() - 1, std::size_t(q * double(v.size())))];
  }
  double median() const { return quantile(0.5); }
  double best() const { return quantile(0); }
};
/// Two things that took turns, and first / second of each turn.
struct pairs {
  numbers first, second, ratios;
  void add(double a, double b) {
    first.add(a);
    second.add(b);
    ratios.add(a / b);
  }
};

/// What the words of a bench choose.
struct settings {
  int turns = 11;
  bool quick = false, tiny = false;                      ///< fewer of everything; sizes for the emulator
  /// False, and its usage on stderr, where a word is unknown.
  bool read(const char* name, int count, char** words) {
    for (int i = 1; i < count; ++i) {
      const std::string word = words[i];
      if (word == "--turns" && i + 1 < count) turns = std::max(1, std::atoi(words[++i]));
      else if (word == "--quick") quick = true, turns = 5;
      else if (word == "--tiny") tiny = true, turns = 3;
      else return std::fprintf(stderr, "%s [--turns N] [--quick] [--tiny]\n", name), false;
    }
    return true;
  }
};

struct expectation {
  double limit = 0;                                      ///< of the ratio; 0: none is known
  double gate = 0;                                       ///< 0: none
  bool lower_is_better = false;
};

class line {
  std::string text_;
  line& raw(const char* key, const std::string& value) {
    text_ += (text_.size() > 1 ? ", \"" : "\"") + std::string(key) + "\": " + value;
    return *this;
  }

 public:
  /// `row` of the scoreboard, or "-".
  line(const char* row, const char* what, const std::string& group) : text_("{") { add("row", row).add("what", what).add("group", group); }
  line& add(const char* key, const std::string& value) { return raw(key, '"' + value + '"'); }
  line& add(const char* key, const char* value) { return add(key, std::string(value)); }
  line& add(const char* key, bool value) { return raw(key, value ? "true" : "false"); }
  line& add(const char* key, long value) { return raw(key, std::to_string(value)); }
  line& add(const char* key, int value) { return add(key, long(value)); }
  line& add(const char* key, double value) {
    char number[40];
    std::snprintf(number, sizeof number, "%.6g", value);
    return raw(key, std::isfinite(value) ? number : "null");
  }
  /// The last thing said.
  line& ratio(const numbers& of, const expectation& e) {
    const double r = of.median();
    add("ratio", r).add("ratio_25", of.quantile(0.25)).add("ratio_75", of.quantile(0.75)).add("turns", long(of.all.size()));
    if (e.limit > 0) add("limit", e.limit);
    if (e.gate > 0) add("gate", e.gate).add("pass", e.lower_is_better ? r <= e.gate : r >= e.gate);
    return *this;
  }
  void print() const {
    std::printf("%s}\n", text_.c_str());
    std::fflush(stdout);
  }
};

}  // namespace bench
