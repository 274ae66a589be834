#!/usr/bin/env bash
# Builds and runs the consumer beside this script in every way a project can take shardproof up.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
passed=0 failed=0 skipped=0
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)

# way NAME command...: one way; its output is shown only if it fails
way() {
  local name=$1; shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1)); echo "ok: $name"
  else
    failed=$((failed + 1)); echo "FAILED: $name"; tail -n 30 "$work/log"
  fi
}
skip() { skipped=$((skipped + 1)); echo "not run: $1"; }

install_headers() {
  cmake -S "$root" -B "$work/source" -G Ninja -DSHARDPROOF_BUILD_TESTS=OFF -DSHARDPROOF_BUILD_EXAMPLES=OFF \
        -DSHARDPROOF_BUILD_BENCH=OFF -DSHARDPROOF_COMPONENTS= &&
    cmake --install "$work/source" --prefix "$work/first" && mv "$work/first" "$work/prefix"    # it may be moved
}
consumer() {
  local how=$1; shift
  cmake -S "$here" -B "$work/$how" -G Ninja -DHOW="$how" -DSOURCE="$root" -DCMAKE_PREFIX_PATH="$work/prefix" "$@" &&
    cmake --build "$work/$how" && "$work/$how/app" | grep -q 'SP106'
}
with_pkg_config() {
  export PKG_CONFIG_PATH=$work/prefix/share/pkgconfig
  [ "$(pkg-config --modversion shardproof)" = 0.1.0 ] && [ -z "$(pkg-config --libs-only-l shardproof)" ] &&
    g++ -std=c++20 $(pkg-config --cflags shardproof) "$here/app.cpp" -o "$work/with_pkg_config" && "$work/with_pkg_config"
}
plain_copy() {
  mkdir "$work/copy" && cp -r "$root/include" "$work/copy/" &&
    g++ -std=c++20 -I"$work/copy/include" "$here/app.cpp" -o "$work/plain_copy" && "$work/plain_copy"
}

way "install into a prefix that is moved afterwards" install_headers
with_cuda=OFF
[ -n "$nvcc" ] && with_cuda=ON || skip "no nvcc: a .cu consumer"
export CUDACXX=$nvcc                                                 # empty is as good as unset
way "find_package, with the CPU backend (a .cu file too: $with_cuda)" \
  consumer find_package -DWITH_BACKEND=ON -DWITH_CUDA=$with_cuda
way "add_subdirectory" consumer add_subdirectory
way "FetchContent, with the CPU backend" consumer FetchContent -DWITH_BACKEND=ON
if command -v pkg-config >/dev/null; then way "pkg-config" with_pkg_config; else skip "no pkg-config"; fi
way "a plain copy of include/" plain_copy
echo "package: $passed passed, $failed failed$([ $skipped -gt 0 ] && echo ", $skipped skipped")"
[ "$failed" -eq 0 ]
