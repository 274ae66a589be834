#pragma once
/// @file
/// What code says when it throws.
///
///     CHECK(contains(thrown([] { sp::run(mesh, body); }), "shardproof[SP502]"));
#include <exception>
#include <string>

/// "" if nothing was thrown.
template <class F> std::string thrown(F f) {
  try {
    f();
  } catch (const std::exception& e) { return e.what(); }
  return "";
}
inline bool contains(const std::string& s, const std::string& part) { return s.find(part) != std::string::npos; }
