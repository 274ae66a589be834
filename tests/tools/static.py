#!/usr/bin/env python3
"""Compiles tests/static on every compiler here: to compile, without a warning, is to pass. Counts the static assertions.

    python3 tests/tools/static.py
    python3 tests/tools/static.py partition --compilers g++        # only files whose name contains `partition`
"""
import argparse
import re
import sys

from common import Cache, ROOT, closing, common_options, compilers, in_parallel, sources

ASSERTION = re.compile(r"\b(?:static_assert|CHECK_TWICE)\s*\(")


def assertions(file):
    """Static assertions written in a file; a macro that defines one is not one."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", (ROOT / file).read_text(), flags=re.S)
    return sum(len(ASSERTION.findall(line)) for line in text.splitlines() if not line.lstrip().startswith("#"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    common_options(parser)
    options = parser.parse_args()
    cache = Cache(options.cache)
    found, missing = compilers(options.compilers)
    files = [f for f in sources("tests/static/**/*.cpp") if not options.names or any(n in f for n in options.names)]
    print(*missing, sep="\n", end="\n" if missing else "")
    work = [(f, c) for f in files for c in found]
    passed = failed = 0
    for (f, c), answer in zip(work, in_parallel(work, lambda w: cache.ask(w[1], w[0]), options.jobs)):
        ok = answer.status == 0 and not answer.text.strip()
        count = assertions(f)
        print(f"{f:44} {c.name:9} {count:5} assertions  {answer.seconds:5.1f} s  {'ok' if ok else 'FAILED'}", flush=True)
        passed += count if ok else 0
        failed += not ok
        if not ok:
            print(*(f"    {line[:240]}" for line in answer.text.splitlines()[:40]), sep="\n")
    everywhere = sources("tests/**/*.cpp") + sources("tests/**/*.hpp")
    print(f"static assertions: {sum(map(assertions, files))} in {len(files)} files of tests/static, "
          f"{sum(map(assertions, everywhere))} in all of tests, x compilers {' '.join(c.name for c in found)}")
    return closing("static", passed, failed + (not files), note="assertions times compilers")


if __name__ == "__main__":
    sys.exit(main())
