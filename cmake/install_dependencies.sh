#!/usr/bin/env bash
# Installs what building shardproof needs and this machine lacks (Debian 12; as root or with sudo). Says what it does in one line.
#
#     bash cmake/install_dependencies.sh            # g++, cmake, ninja, ccache, python3, Eigen, Boost headers, CLI11, range-v3
#     bash cmake/install_dependencies.sh tests      # and Catch2, clang 19, nlohmann-json, pkg-config
#     bash cmake/install_dependencies.sh long       # and the run-time libraries of clang's sanitizers and fuzzer
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

command_exists() { command -v "$1" >/dev/null 2>&1; }
header_exists() { [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ]; }
cmake_is_new_enough() { command_exists cmake && printf '3.25\n%s\n' "$(cmake --version | grep -om1 '[0-9][0-9.]*')" | sort -CV; }
fuzzer_exists() { compgen -G '/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.fuzzer-*.a' >/dev/null; }

packages=()
needs() { local package=$1; shift; "$@" || packages+=("$package"); }
needs g++ command_exists g++
needs cmake cmake_is_new_enough
needs ninja-build command_exists ninja
needs ccache command_exists ccache
needs python3 command_exists python3
needs libeigen3-dev header_exists eigen3/Eigen/Core
needs libboost-dev header_exists boost/hana.hpp
needs libcli11-dev header_exists CLI/CLI.hpp
needs librange-v3-dev header_exists range/v3/all.hpp
if [ "${1:-}" = tests ] || [ "${1:-}" = long ]; then
  needs catch2 header_exists catch2/catch.hpp
  needs clang-19 command_exists clang++-19
  needs nlohmann-json3-dev header_exists nlohmann/json.hpp
  needs pkg-config command_exists pkg-config
fi
if [ "${1:-}" = long ]; then
  needs libclang-rt-19-dev fuzzer_exists
fi

if [ ${#packages[@]} -eq 0 ]; then
  echo "dependencies: all present"
  exit 0
fi
if ! command_exists apt-get; then
  echo "dependencies: this is no Debian; install the counterparts of: ${packages[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command_exists sudo; then
    echo "dependencies: missing, and this is neither root nor is there sudo. As root: apt-get install ${packages[*]}" >&2
    exit 1
  fi
  as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
fi
echo "dependencies: installing ${packages[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" apt-get install -y --no-install-recommends "${packages[@]}"; } \
    >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "dependencies: apt-get failed, see above. Wanted: ${packages[*]}" >&2
  exit 1
fi
