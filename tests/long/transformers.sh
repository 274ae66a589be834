#!/usr/bin/env bash
# Compares the program with transformers, which is installed from PyPI into a folder of its own outside the tree (several GB).
#
#     bash tests/long/transformers.sh              # SHARDPROOF names the program, default build/bin/shardproof
#     bash tests/long/transformers.sh --random 200 # what follows goes to transformers.py
#
# SHARDPROOF_VENV names a virtual environment that has torch and transformers already; it is used as it is. SHARDPROOF_PIP holds
# further words for pip, such as an index that has torch without CUDA. SHARDPROOF_TRANSFORMERS=no leaves this out.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SHARDPROOF=${SHARDPROOF:-$here/../../build/bin/shardproof} HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1
if [ "${SHARDPROOF_TRANSFORMERS:-yes}" = no ]; then
  echo "transformers not run: SHARDPROOF_TRANSFORMERS is no"
  exit 0
fi
if [ -n "${SHARDPROOF_VENV:-}" ]; then
  python=$SHARDPROOF_VENV/bin/python
else
  venv=$(mktemp -d -t shardproof-venv-XXXXXX)
  trap 'rm -rf "$venv"' EXIT
  echo "installing torch and transformers into $venv"
  python3 -m venv "$venv" || { echo "transformers not run: python3 has no venv (Debian: apt-get install python3-venv)"; exit 0; }
  # shellcheck disable=SC2086
  if ! "$venv/bin/pip" install --quiet --no-cache-dir ${SHARDPROOF_PIP:-} torch transformers numpy >"$venv/pip.log" 2>&1; then
    tail -n 5 "$venv/pip.log"
    echo "transformers not run: pip could not install it"
    exit 0
  fi
  python=$venv/bin/python
fi
"$python" "$here/transformers.py" "$@"
