#!/usr/bin/env python3
"""Checks that the storeys of include/shardproof look one way only, and that outside packages stay where they belong.

    python3 tests/tools/layers.py              # prints file:line for each include that looks up, exit 1 if there is one

A storey may include itself and the storeys named before it, except that runtime sees core alone (plans are constexpr and know
nothing of buffers; buffers know nothing of plans). An engine may use a backend, not the reverse.
"""
import os
import re
import sys

from common import INCLUDE, ROOT, closing, sources

ORDER = ["core", "plan", "runtime", "tensor", "layer", "model", "families", "io", "backend", "engine", "report"]
MAY_SEE = {storey: set(ORDER[: i + 1]) for i, storey in enumerate(ORDER)}
MAY_SEE["runtime"] = {"core", "runtime"}
ALL_BUT_EDGES = {"core", "plan", "runtime", "tensor", "layer", "model", "families"}
ROOT_HEADERS = {"types.hpp": {"core", "plan"}, "shardproof.hpp": ALL_BUT_EDGES, "hana.hpp": ALL_BUT_EDGES}
INSIDE_TYPES = {"core", "plan", "runtime", "types.hpp"}              # the others may include types.hpp, which is below them

# Packages from outside: pattern of the include -> the storeys (or root headers) that may name it.
PACKAGES = [
    (re.compile(r"^(unsupported/)?Eigen/"), {"backend"}),
    (re.compile(r"^range/v3/"), {"plan", "report"}),                 # of plan only what never reaches types.hpp
    (re.compile(r"^boost/"), {"plan", "layer", "model", "report", "hana.hpp"}),
    (re.compile(r"^(mpi|nccl)\.h$"), {"backend", "engine"}),
    (re.compile(r"^(cuda|cublas|cudnn|nvtx|nvToolsExt)"), {"backend", "engine"}),
    (re.compile(r"^(dnnl|oneapi/)"), {"backend"}),
    (re.compile(r"^(catch2|nlohmann|fmt|spdlog|CLI)/"), set()),
]
# Standard headers that are too dear for code which only plans or only types.
DEAR = re.compile(r"^(thread|string|map|unordered_map|iostream|sstream|fstream|filesystem|regex|mutex|functional|ranges|chrono)$")
CHEAP_STOREYS = {"core", "plan"}
# What is above devices and engines knows none of them by name: a model does not change by one character for a GPU.
NAMES_NO_DEVICE = {"core", "plan", "tensor", "layer", "model", "families", "io", "report"}
DEVICE = re.compile(r"cuda|nccl|nvcc|__CUDA", re.I)


def storey_of(name):
    """`core/dim.hpp` -> core; `types.hpp` -> types.hpp."""
    return name.split("/")[0]


def includes(path):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), (ROOT / path).read_text(), flags=re.S)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(2)


def violations(path):
    name = os.path.relpath(path, "include/shardproof")
    here = storey_of(name)
    allowed = MAY_SEE.get(here) or ROOT_HEADERS.get(here)
    if allowed is None:
        yield f"{path}:1: '{here}' is no storey of the house. Fix: move the header, or name the storey in tests/tools/layers.py."
        return
    if here in NAMES_NO_DEVICE:
        for number, text in enumerate((ROOT / path).read_text().splitlines(), 1):
            if DEVICE.search(re.sub(r"//.*", "", text)):
                yield f"{path}:{number}: {here} names a device or its compiler. Fix: put what differs behind sp::backend or sp::communicator."
    for line, target in includes(path):
        if target.startswith("shardproof/"):
            inner = target[len("shardproof/"):]
            there = storey_of(inner)
            if not (ROOT / "include" / target).is_file():
                yield f"{path}:{line}: <{target}> does not exist."
            elif there == "shardproof.hpp" or (there == "types.hpp" and here in INSIDE_TYPES):
                yield f"{path}:{line}: {here} includes the umbrella <{target}>. Fix: include what is used."
            elif there in MAY_SEE and there not in allowed:
                yield f"{path}:{line}: {here} looks up at {there} (<{target}>). It may see: {' '.join(sorted(allowed))}."
            elif there == "hana.hpp" and here not in ("model", "report", "shardproof.hpp"):
                yield f"{path}:{line}: {here} includes <{target}>, which is for those who want modules as Hana structs."
            continue
        for pattern, where in PACKAGES:
            if pattern.match(target) and here not in where:
                yield f"{path}:{line}: {here} includes <{target}>; only {' '.join(sorted(where)) or 'tests and programs'} may."
        if here in CHEAP_STOREYS and DEAR.match(target):
            yield f"{path}:{line}: {here} includes <{target}>, which is too dear for headers that only plan."


def cycles(paths):
    """Include cycles; #pragma once hides them until the order of two includes changes."""
    graph = {p: [t for t in (f"include/{name}" for _, name in includes(p)) if (ROOT / t).is_file()] for p in paths}
    state, found = {}, []

    def visit(node, trail):
        state[node] = "open"
        for after in graph.get(node, []):
            if state.get(after) == "open":
                found.append(" -> ".join(trail[trail.index(after):] + [after]))
            elif after not in state:
                visit(after, trail + [after])
        state[node] = "done"

    for p in paths:
        if p not in state:
            visit(p, [p])
    return found


def main():
    paths = sources("include/shardproof/**/*.hpp") + sources("include/shardproof/**/*.cuh")
    bad = 0
    for path in paths:
        found = list(violations(path))
        bad += bool(found)
        print(*found, sep="\n", end="\n" if found else "")
    loops = cycles(paths)
    for loop in loops:
        print(f"include cycle: {loop}")
    if not paths:
        print("no headers found")
        return closing("layers", 0, 1)
    return closing("layers", len(paths) - bad, bad + len(loops), note="headers whose includes look one way")


if __name__ == "__main__":
    sys.exit(main())
