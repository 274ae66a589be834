#!/usr/bin/env bash
# What is too long for every change: sanitizers, fuzzing, mutation, and scripts of tests/long. Called by tests/run.sh --long.
#
#     bash tests/long.sh BUILD_FOLDER JOBS [sanitizers|fuzzing|mutation|scripts ...]
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$root/build} jobs=${2:-2}
shift 2 2>/dev/null || shift $#
wanted=${*:-sanitizers fuzzing scripts mutation}
failed=0
say() { echo "long: $*"; }
missed() { failed=$((failed + 1)); say "FAILED: $*"; }

# sanitize NAME SANITIZERS environment...: unit and equivalence tests under a sanitizer
sanitize() {
  local name=$1 flags=$2; shift 2
  local folder=$build-$name
  # A fixed address layout, else ThreadSanitizer of g++ 12 refuses kernels with much address randomisation.
  local options=(-DSHARDPROOF_BUILD_TESTS=ON -DSHARDPROOF_BUILD_EXAMPLES=OFF -DSHARDPROOF_BUILD_BENCH=OFF -DSHARDPROOF_COMPONENTS=
                 -DSHARDPROOF_NATIVE=OFF -DSHARDPROOF_WARNINGS_AS_ERRORS=OFF -DSHARDPROOF_SANITIZE="$flags")
  if cmake -S "$root" -B "$folder" -G Ninja "${options[@]}" >"$folder.log" 2>&1 &&
     cmake --build "$folder" -j "$jobs" >>"$folder.log" 2>&1; then
    env "$@" setarch -R ctest --test-dir "$folder" --no-tests=error -R '^(unit|equivalence)\.' --timeout 3600 -j 1 \
      --output-on-failure >"$folder.out" 2>&1
    local status=$?
    tail -n 40 "$folder.out"
    if [ $status -eq 0 ]; then say "$flags: clean"; else missed "$flags: see $folder.out"; fi
  else
    tail -n 40 "$folder.log"; missed "$flags: does not build"
  fi
}

fuzz() {
  local seconds=${SHARDPROOF_FUZZ_SECONDS:-120} file name
  mkdir -p "$build/fuzz"
  for file in "$root"/tests/fuzz/*.cpp; do
    [ -e "$file" ] || { say "tests/fuzz holds no program"; return; }
    name=$(basename "$file" .cpp)
    mkdir -p "$build/fuzz/$name.corpus"
    if ! clang++-19 -std=c++20 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I"$root/include" \
         -isystem /usr/include/eigen3 "$file" -o "$build/fuzz/$name"; then
      missed "fuzz program $name does not build"; continue
    fi
    local seeds=("$root/tests/fuzz/$name"/)
    [ -d "${seeds[0]}" ] || seeds=()
    if (cd "$build/fuzz" && "./$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
          -verbosity=0 "$name.corpus" "${seeds[@]}") >"$build/fuzz/$name.log" 2>&1; then
      say "fuzz $name: $(grep -m1 number_of_executed_units "$build/fuzz/$name.log" | tr -s ' ') in $seconds s, no crash"
    else
      tail -n 30 "$build/fuzz/$name.log"; missed "fuzz $name: see $build/fuzz/$name.log"
    fi
  done
}

for part in $wanted; do
  say "$part"
  case $part in
    sanitizers)
      sanitize asan address,undefined ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
      sanitize tsan thread TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 ;;
    fuzzing) fuzz ;;
    scripts)
      for script in "$root"/tests/long/*.sh; do
        [ -e "$script" ] || continue
        name=$(basename "$script")
        if SHARDPROOF="$build/bin/shardproof" bash "$script"; then say "$name: ok"; else missed "$name"; fi
      done ;;
    mutation) python3 "$root/tests/tools/mutate.py" --count "${SHARDPROOF_MUTANTS:-100}" --jobs "$jobs" || missed "mutation" ;;
    *) missed "there is no part '$part'" ;;
  esac
done
say "$([ $failed -eq 0 ] && echo "all passed" || echo "$failed failed")"
[ $failed -eq 0 ]
