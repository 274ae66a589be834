/// @file
/// The code of the pages in docs/, a file a page; each is right if it returns true.
///
///     ./docs                     # exits 1 if one is wrong
#include "pages.hpp"
#include <cstdio>

int main() {
  bool right = true;
  const auto page = [&](const char* name, bool ok) {
    std::printf("%s: %s\n", name, ok ? "right" : "WRONG");
    right = right && ok;
  };
  page("plans", plans());
  page("styles", styles());
  page("placements", placements());
  page("models", models());
  page("experts", experts());
  page("engines", engines());
  page("checkpoints", checkpoints());
  page("family", family());
  page("reports", reports());
  page("gpu", gpu());
  return right ? 0 : 1;
}
