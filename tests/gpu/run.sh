#!/usr/bin/env bash
# Every test that needs a GPU, on a machine with CUDA 13, CMake, ninja and python3. Works from any directory.
#
#     bash tests/gpu/run.sh [HEADERS]                      # HEADERS: from tests/gpu/bring_headers.sh, where Debian's packages are not
#     SHARDPROOF_GPU_STEPS="build tests" bash tests/gpu/run.sh      # of: build tests goldens memcheck racecheck
#
# Ends with one line a step, and exits with 1 if one failed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${SHARDPROOF_BUILD:-$root/build/gpu}
steps=${SHARDPROOF_GPU_STEPS:-build tests goldens memcheck racecheck}
jobs=${SHARDPROOF_JOBS:-$(nproc)}
failed=0
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
date -u +%Y-%m-%d

step() {
  local name=$1; shift
  case " $steps " in *" $name "*) ;; *) return 0 ;; esac
  local began=$SECONDS
  if "$@" >"$build/$name.log" 2>&1; then echo "gpu $name: passed in $((SECONDS - began)) s"
  else
    failed=1
    tail -n 25 "$build/$name.log"
    echo "gpu $name: FAILED after $((SECONDS - began)) s, see $build/$name.log"
  fi
}
configure_and_build() {
  cmake -S "$root" -B "$build" -G Ninja ${headers:+-DCMAKE_PREFIX_PATH="$headers" -DCMAKE_CXX_FLAGS="-isystem $headers/include"} \
    -DSHARDPROOF_CUDA=ON -DSHARDPROOF_DEVICE_TESTS=ON -DSHARDPROOF_BUILD_BENCH=OFF -DSHARDPROOF_FAMILIES= &&
    cmake --build "$build" -j "$jobs" --target device_tests device_equivalence device_bench_{bandwidth,products,grouped,fused_norm,collectives} shardproof_cli
}
of_ctest() { ctest --test-dir "$build" --no-tests=error --output-on-failure "$@"; }
# Every kernel runs in the suite of all backends and in the tests of ranks and captures.
sanitized() { compute-sanitizer --tool "$1" --error-exitcode 9 "$build/tests/device_tests" "~[slow]"; }

headers=${1:+$(cd "$1" && pwd)}
mkdir -p "$build"
step build configure_and_build
[ $failed -eq 0 ] || exit 1
step tests of_ctest -R '^device\.' -E goldens
step goldens of_ctest -R '^device\.goldens'
step memcheck sanitized memcheck
step racecheck sanitized racecheck
exit $failed
