#!/usr/bin/env bash
# Copies the headers that the tests and the program include into a folder, for a machine without Debian's packages.
#
#     bash tests/gpu/bring_headers.sh build/headers        # about 30 MB; needs the packages of cmake/install_dependencies.sh
#     bash tests/gpu/run.sh build/headers                  # there
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)
for package in catch2 libcli11-dev nlohmann-json3-dev libeigen3-dev libboost1.74-dev librange-v3-dev; do
  if [ "$package" = libboost1.74-dev ]; then
    dpkg -L "$package" | grep -E '^/usr/include/boost/(hana|config)(/|\.hpp)|/boost/(version|config|limits)\.hpp$'
  else
    dpkg -L "$package" | grep -E '^/usr/(include|lib|share)/.*\.(h|hpp|h\.in|cmake|ipp)$|/libCatch2WithMain\.a$|^/usr/include/eigen3/'
  fi
done | while read -r file; do
  [ -f "$file" ] || continue
  mkdir -p "$to/$(dirname "${file#/usr/}")"
  cp "$file" "$to/${file#/usr/}"
done
echo "headers: $(find "$to" -type f | wc -l) files, $(du -sm "$to" | cut -f1) MB in $1"
