#!/usr/bin/env bash
# Rows G1 to G5 of the scoreboard, on a machine with a GPU, CUDA 13 and g++; nothing else is needed. Works from any directory.
#
#     bash bench/gpu/run.sh [--quick] [--strict]           # --strict: exit 1 if a gate is missed
#     SHARDPROOF_CUDA_PRODUCTS=tf32 bash bench/gpu/run.sh  # precision of whole steps; bf16 where nothing is said
#
# Builds into build/gpu_bench (SHARDPROOF_BUILD), runs everything, keeps the lines in bench/results/gpu-DATE.jsonl and prints a table.
# Torch is compared with where python3 has it with CUDA. Without a device it says SP504 and exits 2; a wrong result or a failed build is 1.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${SHARDPROOF_BUILD:-$root/build/gpu_bench}
quick='' strict=''
for word in "$@"; do
  case $word in
    --quick) quick=--quick ;;
    --strict) strict=1 ;;
    *) echo "run.sh [--quick] [--strict]" >&2; exit 1 ;;
  esac
done
export SHARDPROOF_CUDA_PRODUCTS=${SHARDPROOF_CUDA_PRODUCTS:-bf16}
here=$root/bench/gpu
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
toolkit=${CUDA_HOME:-$(cd "$(dirname "$(readlink -f "$nvcc" 2>/dev/null || echo /usr/local/cuda/bin/nvcc)")/.." 2>/dev/null && pwd)}
[ -x "$nvcc" ] || { echo "no nvcc: install the CUDA Toolkit 13, or set NVCC" >&2; exit 1; }
mkdir -p "$build"

# compile FILE SOURCE COMMAND...: where the source or a header is newer than what was built.
compile() {
  local to=$1 from=$2 began=$SECONDS; shift 2
  [ -e "$to" ] && [ -z "$(find "$root/include" "$here"/*.hpp "$here"/*.cuh "$from" -type f -newer "$to" -print -quit)" ] && return 0
  "$@" -o "$to" || { echo "could not build $(basename "$to")" >&2; return 1; }
  echo "built $(basename "$to") in $((SECONDS - began)) s" >&2
}
kernels() { "$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr --extended-lambda "-arch=${SHARDPROOF_ARCH:-native}" "-I$root/include" "$@"; }
bench_program() { compile "$build/$1" "$here/$1.cu" kernels "$here/$1.cu" -lcublasLt; }

# The shortest of them asks for the device. Without one -arch=native is nvcc's default, with a warning that nobody needs to see.
bench_program bandwidth 2>"$build/log" || { cat "$build/log" >&2; exit 1; }
"$build/bandwidth" ${quick:+--turns 5} >"$build/limits.jsonl" 2>"$build/log"
case $? in
  0) ;;
  2) cat "$build/log" >&2; exit 2 ;;
  *) cat "$build/log" >&2; exit 1 ;;
esac

for name in products grouped fused_norm collectives; do bench_program $name || exit 1; done
backend=$root/examples/cli/backend_cuda.cu
compile "$build/backend_cuda.o" "$backend" kernels -c "$backend" || exit 1
compile "$build/block" "$here/block.cpp" g++ -std=c++20 -O2 "-I$root/include" "$here/block.cpp" "$build/backend_cuda.o" \
  "-L$toolkit/lib64" "-Wl,-rpath,$toolkit/lib64" -lcudart -lcublasLt -lpthread || exit 1

date=$(date -u +%Y-%m-%d)
results=$root/bench/results/gpu-$date.jsonl
mkdir -p "$(dirname "$results")"
new=$build/new.jsonl
wrong=0
smi() { nvidia-smi --query-gpu="$1" --format=csv,noheader 2>/dev/null | head -n 1; }
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
said=""
say() { said="$said, \"$1\": \"$2\""; }
say date "$(date -u +%Y-%m-%dT%H:%MZ)"
say device "$(smi name)"
say driver "$(smi driver_version)"
for what in memory.total clocks.max.sm power.limit; do say $what "$(smi $what)"; done
say nvcc "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
say commit "$commit"
say products "$SHARDPROOF_CUDA_PRODUCTS"
echo "{\"row\": \"run\"$said, \"quick\": $([ -n "$quick" ] && echo true || echo false)}" >"$new"
cat "$build/limits.jsonl" >>"$new"

# bench NAME COMMAND...: its lines; what goes wrong is said, and the rest still runs.
bench() {
  local name=$1 began=$SECONDS; shift
  "$@" >>"$new" || { echo "$name: exit $?" >&2; wrong=1; }
  echo "$name: $((SECONDS - began)) s" >&2
}
bench products "$build/products" $quick
bench "products, tuned" env SHARDPROOF_CUDA_TUNE=1 "$build/products" $quick
bench grouped "$build/grouped" $quick
bench collectives "$build/collectives" ${quick:+--pairs 7 --steps 50}
bench fused_norm "$build/fused_norm" ${quick:+--turns 7 --steps 50}
bench forward "$build/block" forward decode $quick
bench training "$build/block" train $quick
python3 "$here/peers_torch.py" ${quick:+--turns 5} >"$build/torch.jsonl" 2>"$build/torch.log"
case $? in
  0) cat "$build/torch.jsonl" >>"$new"; cat "$build/torch.log" >&2 ;;
  *) echo "the peer is missing: no python3 with torch and CUDA here (see $build/torch.log)" >&2 ;;
esac
bench "device memory again" "$build/bandwidth" ${quick:+--turns 5}
cat "$new" >>"$results"

sed -n '1s/[{}"]//gp' "$new"
awk -v strict="$strict" '
  function get(key,   at, rest) {
    at = index($0, "\"" key "\": ")
    if (!at) return ""
    rest = substr($0, at + length(key) + 4)
    if (substr(rest, 1, 1) == "\"") { rest = substr(rest, 2); return substr(rest, 1, index(rest, "\"") - 1) }
    sub(/[,}].*/, "", rest)
    return rest
  }
  { row = get("row"); ratio = get("ratio") }
  row == "run" || row == "" { next }
  row == "limit" {
    value = get("copy_tb_s") get("read_tb_s") get("node_us")
    printf "%-6s %-58s %-18s %8.3f %s\n", row, get("what"), "", value, get("group")
    next
  }
  {
    group = get("group")
    if (group == "" && get("waiting") != "") {
      if (get("row") != "G2") next                       # larger sums have no gate
      group = get("ranks") " ranks, " get("waiting")
    }
    key = row SUBSEP get("what") SUBSEP group
    if (!(key in n)) { order[++keys] = key; low[key] = high[key] = ratio }
    n[key]++; logs[key] += log(ratio > 0 ? ratio : 1e-9)
    if (ratio + 0 < low[key] + 0) low[key] = ratio
    if (ratio + 0 > high[key] + 0) high[key] = ratio
    limit[key] = get("limit"); if (row == "G2") limit[key] = 1
    gate[key] = get("gate")
    if (get("pass") == "true") passed[key]++
    extra[key] = get("tokens_s") == "" ? "" : sprintf("%.0f tokens/s", get("tokens_s"))
    if (row == "G5") ours = get("tokens_s")
    if (row == "peer") peer[key] = get("tokens_s")
  }
  END {
    printf "%-6s %-58s %-18s %8s %8s %8s %6s %6s  %s\n", "row", "what", "group", "mean", "lowest", "highest", "limit", "gate", "gates kept"
    for (i = 1; i <= keys; i++) {
      key = order[i]; split(key, part, SUBSEP)
      printf "%-6s %-58s %-18s %8.3f %8.3f %8.3f %6s %6s  ", part[1], part[2], part[3], exp(logs[key] / n[key]), low[key], high[key], limit[key], gate[key]
      if (gate[key] != "") { printf "%d/%d ", passed[key], n[key]; if (passed[key] < n[key]) missed = 1 }
      print extra[key]
    }
    for (i = 1; i <= keys; i++)
      if (order[i] in peer && ours > 0) { split(order[i], part, SUBSEP); printf "%-6s ours / torch, %s: %.3f\n", "G5", part[3], ours / peer[order[i]] }
    exit strict && missed ? 1 : 0
  }' "$new"
missed=$?
echo "lines: $results"
[ $wrong -eq 0 ] && [ $missed -eq 0 ]
