#!/usr/bin/env bash
# The whole idea on real input: installs, builds, trains on two ranks, reloads on one and four, generates, and shows what the
# compiler says to a wrong plan. Works from any directory.
#
#     bash examples/quickstart.sh                  # Debian 12, root or sudo; under 4 minutes the first time on 2 cores
#
# SHARDPROOF_BUILD names the build folder, STEPS the training steps. The trained model stays in quickstart/ of the build folder.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${SHARDPROOF_BUILD:-$root/build}
steps=${STEPS:-250}
work=$build/quickstart
rm -rf "$work"
mkdir -p "$work"
step=starting
finish() {
  local status=$?
  [ $status -eq 0 ] || echo "shardproof quickstart: FAILED while $step"
}
trap finish EXIT
say() { step=$1; echo; echo "== $1"; }

say "installing what is missing"
bash "$root/cmake/install_dependencies.sh"

say "building the program in $build"
launcher=
if command -v ccache >/dev/null; then launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
# One family is enough here, and the tests want packages of their own; a folder that was configured for more keeps it.
less=
[ -e "$build/CMakeCache.txt" ] || less="-DSHARDPROOF_BUILD_TESTS=OFF -DSHARDPROOF_FAMILIES=llama"
cmake -S "$root" -B "$build" -G Ninja $launcher $less >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
cmake --build "$build" --target shardproof_cli -j "$(nproc)"
shardproof=$build/bin/shardproof

say "training a byte-level Llama of 1.7 million parameters on 2 ranks (examples/data/alice.txt)"
mkdir "$work/fresh"
cp "$root/examples/data/config.json" "$work/fresh/"
"$shardproof" train "$work/fresh" --init 1 --tp 2 --data "$root/examples/data/alice.txt" --out "$work/trained" \
  --steps "$steps" --batch 8 --seq 128 --lr 3e-3 --warmup 10 --schedule cosine --log-every 20

say "reloading it on 1, 2 and 4 ranks: do the logits agree?"
python3 - "$work/input.safetensors" <<'PY'
import json, struct, sys
ids = list(b"Alice was beginning to get very tired of sitting by her sister on the bank")
data = struct.pack(f"<{len(ids)}q", *ids)
header = json.dumps({"input_ids": {"dtype": "I64", "shape": [1, len(ids)], "data_offsets": [0, len(data)]}}).encode()
header += b" " * (-len(header) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header + data)
PY
for tp in 1 2 4; do
  "$shardproof" run "$work/trained" --tp $tp --input "$work/input.safetensors" --output "$work/logits_$tp.safetensors"
done
for tp in 2 4; do
  verdict=$("$shardproof" diff "$work/logits_1.safetensors" "$work/logits_$tp.safetensors" --atol 1e-4)
  echo "tp=1 against tp=$tp, to 1e-4: $verdict"
done

say "generating on 2 ranks"
prompt=$(python3 -c 'print(",".join(str(b) for b in b"Alice was "))')
"$shardproof" generate "$work/trained" --tp 2 --tokens "$prompt" --new 120 >"$work/tokens"
python3 - "$work/tokens" <<'PY'
import sys
print("Alice was " + bytes(int(token) for token in open(sys.argv[1]).read().split(",")).decode("utf-8", "replace"))
PY

say "compiling a deliberately wrong plan: gate_up_proj is colwise, so that its halves would mix gate and up"
if LC_ALL=C g++ -std=c++20 -fsyntax-only -DWRONG_PLAN -I "$root/include" -isystem /usr/include/eigen3 \
    "$root/examples/quickstart/main.cpp" 2>"$work/errors"; then
  echo "the compiler accepted a wrong plan"; exit 1
fi
# The facts, the lines in the author's own file, and the sentence.
sed -nE "s/ \[with .*\]'/ [with ...]'/; s|^$root/||
  /instantiation of 'struct shardproof::verdict</p; /^examples.*required from/p; /error: /p" "$work/errors"

echo
echo "to look further: ${shardproof#"$root/"} explain ${work#"$root/"}/trained --tp 4"
echo "shardproof quickstart: done"
