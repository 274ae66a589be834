#!/usr/bin/env bash
# Installs what is missing, builds, and runs everything a contributor should run. Works from any directory.
#
#     bash tests/run.sh                  # about 25 minutes on 2 cores the first time, mostly compiling
#     bash tests/run.sh -R must_fail     # what follows goes to ctest
#     bash tests/run.sh --long           # then sanitizers, fuzzing and mutation too (hours)
#
# SHARDPROOF_BUILD names the build folder (default: build/ at the repository's top), SHARDPROOF_JOBS the compilers at once.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${SHARDPROOF_BUILD:-$root/build}
jobs=${SHARDPROOF_JOBS:-$(nproc)}
long=no
if [ "${1:-}" = --long ]; then long=yes; shift; fi
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0; fi
export LC_ALL=C CTEST_OUTPUT_ON_FAILURE=1
exec </dev/null
began=$SECONDS
step=starting
finish() {
  local status=$?
  [ $status -eq 0 ] || echo "shardproof tests: FAILED while $step (after $((SECONDS - began)) s)"
}
trap finish EXIT

step="installing dependencies"
bash "$root/cmake/install_dependencies.sh" "$([ $long = yes ] && echo long || echo tests)"

# Objects tuned for one processor must not come out of a cache filled on another.
if command -v ccache >/dev/null; then
  CCACHE_NAMESPACE=shardproof-$( (grep -m1 '^flags' /proc/cpuinfo || uname -m) | cksum | cut -d' ' -f1)
  export CCACHE_NAMESPACE
  launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

# build_in FOLDER option...: configures and builds there
build_in() {
  local folder=$1; shift
  cmake -S "$root" -B "$folder" -G Ninja ${launcher:-} -DSHARDPROOF_BUILD_TESTS=ON -DSHARDPROOF_BUILD_EXAMPLES=ON -DSHARDPROOF_FAMILIES= "$@" \
    >"$folder.log" 2>&1 ||
    { cat "$folder.log"; return 1; }
  cmake --build "$folder" -j "$jobs"
}

step="building in $build"
echo "== building in $build, $jobs compilers at once"
mkdir -p "$(dirname "$build")"
build_in "$build"
echo "== built after $((SECONDS - began)) s; testing"

step="testing"
tests_failed=0
ctest --test-dir "$build" --no-tests=error -j "$jobs" "$@" || tests_failed=1
if [ $long = yes ]; then
  bash "$root/tests/long.sh" "$build" "$jobs" || tests_failed=1
fi
trap - EXIT                                                          # the summary's own last line says how it went
echo "every table and message: $build/Testing/Temporary/LastTest.log"
python3 "$root/tests/tools/summary.py" "$build/Testing/Temporary/LastTest.log" "$tests_failed" "$((SECONDS - began))"
