#!/usr/bin/env bash
# What a family costs to compile: seconds of g++ -O2, templates that clang instantiates, bytes of the object; then the whole program.
#
#     bash bench/families.sh                     # every family of examples/cli/families
#     bash bench/families.sh llama mixtral       # these
#     bash bench/families.sh --build             # and the whole program from nothing, -j2, without ccache
#
# A family compiles twice: with its placements as types, and with placements as values. CXX and CLANG (clang++-19) may be set.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cxx=${CXX:-g++} clang=${CLANG:-clang++-19} build=no
if [ "${1:-}" = --build ]; then build=yes; shift; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C TIMEFORMAT='%U %S %R'
flags=(-std=c++20 -I"$root/include")
names=("$@")
if [ ${#names[@]} = 0 ]; then
  for file in "$root"/examples/cli/families/*.cpp; do names+=("$(basename "$file" .cpp)"); done
fi

echo "$("$cxx" --version | head -n 1); $("$clang" --version 2>/dev/null | head -n 1 || echo "no $clang")"
printf '%-16s %12s %16s %12s\n' family 'g++ -O2, s' 'instantiations' 'object, kB'
for name in "${names[@]}"; do
  file=$root/examples/cli/families/$name.cpp
  { time "$cxx" "${flags[@]}" -O2 -DNDEBUG -c -o "$work/x.o" "$file"; } 2>"$work/spent"
  count=- bytes=$(stat -c %s "$work/x.o")
  # -ftime-trace lists every template that is instantiated, however short it takes.
  if command -v "$clang" >/dev/null; then
    "$clang" "${flags[@]}" -c -o "$work/x.o" -ftime-trace="$work/trace.json" -ftime-trace-granularity=0 "$file" 2>/dev/null || true
    count=$(grep -oE '"name":"Instantiate(Class|Function)"' "$work/trace.json" | wc -l)
  fi
  awk -v n="$name" -v c="$count" -v b="$bytes" '{ printf "%-16s %12.1f %16s %12.0f\n", n, $1 + $2, c, b / 1000 }' "$work/spent"
done
if [ $build = yes ]; then
  cmake -S "$root" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER_LAUNCHER= >/dev/null
  { time CCACHE_DISABLE=1 cmake --build "$work/build" -j2 --target shardproof_cli >/dev/null; } 2>"$work/spent"
  awk '{ printf "the whole program, -j2: %.0f s (budget 360)\n", $3 }' "$work/spent"
fi
