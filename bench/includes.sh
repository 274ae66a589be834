#!/usr/bin/env bash
# What including shardproof costs: CPU seconds of one include, as ratios to what everybody pays anyway; medians of one run.
#
#     bash bench/includes.sh                     # types.hpp, shardproof.hpp, backend/cpu.hpp, against their budgets
#     bash bench/includes.sh --check             # and exit 1 over a budget
#     bash bench/includes.sh FILE.cpp ...        # also `g++ -O2 -c FILE.cpp`, beside Eigen/Core with one product
#
# Budgets: types.hpp 2x and shardproof.hpp 5x the ten light standard headers, backend/cpu.hpp 1.3x Eigen/Core.
# CXX and ROUNDS (5) may be set; the rounds are interleaved.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cxx=${CXX:-g++} rounds=${ROUNDS:-5}
check=no
if [ "${1:-}" = --check ]; then check=yes; shift; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C TIMEFORMAT='%U %S'
eigen=/usr/include/eigen3
[ -d $eigen ] || eigen=/usr/local/include/eigen3
flags=(-std=c++20 -I"$root/include" -isystem "$eigen")

: >"$work/empty.cpp"
for header in concepts type_traits utility array tuple span string_view cstddef cstdint source_location; do
  echo "#include <$header>"
done >"$work/light.cpp"
echo '#include <Eigen/Core>' >"$work/eigen.cpp"
cases=(empty light eigen)
for header in types.hpp shardproof.hpp backend/cpu.hpp; do
  if [ -e "$root/include/shardproof/$header" ]; then
    name=${header//\//_}
    echo "#include <shardproof/$header>" >"$work/$name.cpp"
    cases+=("$name")
  else
    echo "not measured: there is no $header"
  fi
done
cat >"$work/product.cpp" <<'END'
#include <Eigen/Core>
Eigen::MatrixXf product(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) { return a * b; }
END

# seconds NAME command...: appends the CPU seconds of one run
seconds() {
  local name=$1; shift
  if ! { time "$@" >/dev/null 2>"$work/errors" || touch "$work/broke"; } 2>"$work/spent" || [ -e "$work/broke" ]; then
    echo "does not compile: $name" >&2
    head -n 20 "$work/errors" >&2
    exit 1
  fi
  awk '{ print $1 + $2 }' "$work/spent" >>"$work/$name.times"
}
median() { sort -n "$work/$1.times" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

for ((round = 0; round < rounds; ++round)); do
  for name in "${cases[@]}"; do
    seconds "$name" "$cxx" "${flags[@]}" -fsyntax-only "$work/$name.cpp"
  done
  if [ $# -gt 0 ]; then
    seconds product "$cxx" "${flags[@]}" -O2 -c -o "$work/x.o" "$work/product.cpp"
    for file in "$@"; do
      seconds "$(basename "$file" .cpp).O2" "$cxx" "${flags[@]}" -O2 -c -o "$work/x.o" "$file"
    done
  fi
done

light=$(median light) core=$(median eigen) over=0
echo "CPU seconds of one include, $("$cxx" --version | head -n 1), median of $rounds interleaved rounds"
printf '%-28s %8s %10s %12s  %s\n' include seconds "x light" "x Eigen/Core" budget
for name in "${cases[@]}"; do
  case $name in
    types.hpp) of=$light budget=2 unit="x light" ;;
    shardproof.hpp) of=$light budget=5 unit="x light" ;;
    backend_cpu.hpp) of=$core budget=1.3 unit="x Eigen/Core" ;;
    *) of=1 budget=0 unit= ;;
  esac
  verdict=$(awk -v s="$(median "$name")" -v of="$of" -v b=$budget -v unit="$unit" \
    'BEGIN { if (b) printf "%g%s: %s", b, unit, s / of <= b ? "kept" : "OVER" }')
  case $verdict in *OVER) over=1 ;; esac
  awk -v n="$name" -v s="$(median "$name")" -v l="$light" -v e="$core" -v v="$verdict" \
    'BEGIN { printf "%-28s %8.3f %10.2f %12.2f  %s\n", n, s, s / l, s / e, v }'
done
if [ $# -gt 0 ]; then
  product=$(median product)
  echo "CPU seconds of g++ -O2 -c"
  for name in product $(for file in "$@"; do echo "$(basename "$file" .cpp).O2"; done); do
    awk -v n="$name" -v s="$(median "$name")" -v p="$product" \
      'BEGIN { printf "%-28s %8.2f %10.2f x Eigen/Core with one product\n", n, s, s / p }'
  done
fi
[ $check = no ] || [ $over = 0 ]
