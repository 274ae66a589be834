#!/usr/bin/env python3
"""Compiles every header alone, without a warning, on each host compiler; and all that a kernel may include, together, with nvcc.

    python3 tests/tools/self_contained.py
    python3 tests/tools/self_contained.py core/ --compilers g++
"""
import argparse
import os
import re
import sys
import tempfile

from common import Cache, ROOT, closing, common_options, compilers, in_parallel, sources

DEVICE_STOREYS = ("core", "plan", "runtime", "tensor", "layer")
OPTIONAL_PACKAGE = re.compile(r"fatal error: '?"
                              r"((?:mpi|nccl|cuda\w*|cublas\w*|cudnn\w*|dnnl\w*|oneapi/\S+?|nvtx3/\S+?)\.hp*)'?[: ]")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    common_options(parser)
    options = parser.parse_args()
    found, missing = compilers(options.compilers)
    headers = [h for h in sources("include/shardproof/**/*.hpp") if not options.names or any(n in h for n in options.names)]
    print(*missing, sep="\n", end="\n" if missing else "")
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as passing:
        folder = os.path.join(options.cache or passing, "alone")     # a lasting place, else every run would ask anew
        os.makedirs(folder, exist_ok=True)

        def lone(name, text):
            path = os.path.join(folder, name)
            with open(path, "w") as out:
                out.write(text)
            return os.path.relpath(path, ROOT)

        work = []
        for header in headers:
            name = os.path.relpath(header, "include")
            file = lone(name.replace("/", "_") + ".cpp", f"#include <{name}>\n#include <{name}>\n")
            work += [(header, file, c) for c in found if c.family != "nvcc" and c.name != "clang-14"]
        for_device = [os.path.relpath(h, "include") for h in headers if h.split("/")[2] in DEVICE_STOREYS]
        if for_device:
            together = lone("device.cpp", "".join(f"#include <{n}>\n" for n in for_device))
            work += [(f"{len(for_device)} headers together", together, c) for c in found if c.family == "nvcc"]
        cache = Cache(options.cache)
        for (what, _, c), answer in zip(work, in_parallel(work, lambda w: cache.ask(w[2], w[1]), options.jobs)):
            lacks = OPTIONAL_PACKAGE.search(answer.text)
            if answer.status and lacks:
                print(f"{what} ({c.name}): not run: no {lacks.group(1)}")
                skipped += 1
            elif answer.status or answer.text.strip():
                print(f"{what} ({c.name}): FAILED", *(f"    {line[:240]}" for line in answer.text.splitlines()[:25]), sep="\n")
                failed += 1
            else:
                passed += 1
    return closing("self_contained", passed, failed + (not headers), skipped, f"{len(headers)} headers")


if __name__ == "__main__":
    sys.exit(main())
