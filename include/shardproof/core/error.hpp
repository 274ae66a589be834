#pragma once
/// @file
/// What every refusal at run time throws: a code, its sentence, and the facts in brackets.
///
///     try { sp::bind(model, plan); } catch (const sp::error& e) { std::puts(e.what()); return 2; }
#include <exception>
#include <string_view>
#include <shardproof/core/code.hpp>
namespace shardproof {

/// A refusal. `what()` is one line: "shardproof[SPnnn] what. Fix: how. [facts]".
class error : public std::exception {
 public:
  /// The catalogue's sentence, with `facts` behind it in brackets.
  error(code c, std::string_view facts) : code_(c) {
    append(sentence(c));
    if (!facts.empty()) { append(" ["); append(facts); append("]"); }
  }
  /// A sentence of its own, for what only the place of the refusal knows: `shardproof[SPnnn] ` + what + ` Fix: ` + fix.
  error(code c, std::string_view what, std::string_view fix) : code_(c) {
    const int n = number(c);
    const char head[] = {char('0' + n / 100 % 10), char('0' + n / 10 % 10), char('0' + n % 10)};
    append("shardproof[SP"); append({head, 3}); append("] "); append(what); append(" Fix: "); append(fix);
  }
  const char* what() const noexcept override { return text_; }
  code which() const noexcept { return code_; }

 private:
  // A fixed buffer: <string> is too dear for headers that only plan, and an exception should not allocate.
  void append(std::string_view s) {
    for (char c : s) {
      if (used_ + 1 == sizeof text_) return;
      text_[used_++] = c == '\n' ? ' ' : c;
    }
    text_[used_] = '\0';
  }
  code code_;
  unsigned used_ = 0;
  char text_[1536] = {};
};

}  // namespace shardproof
