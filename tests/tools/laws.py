#!/usr/bin/env python3
"""Every operation of the library is checked under every placement of its arguments: none is left out of tests/equivalence/laws*.cpp.

    python3 tests/tools/laws.py            # "laws: N passed, N failed"; exit 1: an operation that no law names
    python3 tests/tools/laws.py --list     # each operation, and the laws that use it

An operation: a public function template of include/shardproof/tensor/ops. The tests themselves print how many tuples of placements
they tried; a name may be left out only here, with a reason, and none is.
"""
import re
import sys

from common import ROOT, sources
from documented import without_comments

LEFT_OUT = {}                                            # name: why it cannot be called under placements
DECLARED = re.compile(r"constexpr auto (\w+)\s*\((?!\))")      # one without arguments is an accessor


def public_functions(text):
    """Names at the level of namespace shardproof, and members of `dispatched`."""
    out, depth, hidden = [], 0, None
    for line in text.split("\n"):
        opens = re.match(r"\s*namespace (\w+)\s*\{", line)
        if opens and hidden is None and opens.group(1) != "shardproof":
            hidden = depth
        if hidden is None:
            out += [name for name in DECLARED.findall(line) if name != "operator"]
        depth += line.count("{") - line.count("}")
        if hidden is not None and depth <= hidden:
            hidden = None
    return out


def main():
    operations = {}
    for path in sources("include/shardproof/tensor/ops/*.hpp"):
        for name in public_functions(without_comments((ROOT / path).read_text())):
            operations.setdefault(name, path)
    tests = {path: without_comments((ROOT / path).read_text()) for path in sources("tests/equivalence/laws*.cpp")}
    failed = 0
    for name, path in sorted(operations.items()):
        used = [p for p, text in tests.items() if re.search(rf"(\bsp::|\.){name}\b", text)]
        if "--list" in sys.argv:
            print(f"{name:24} {path.split('/')[-1]:24} {', '.join(p.split('/')[-1] for p in used)}")
        if not used and name not in LEFT_OUT:
            print(f"no law uses sp::{name} of {path}")
            failed += 1
        if used and name in LEFT_OUT:
            print(f"sp::{name} has a law, and is on the list of those that have none")
            failed += 1
    for name, why in LEFT_OUT.items():
        print(f"left out: {name}: {why}")
    print(f"laws: {len(operations) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
