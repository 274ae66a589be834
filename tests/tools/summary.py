#!/usr/bin/env python3
"""Adds up what the tests of one ctest run say they checked.

    python3 tests/tools/summary.py build/Testing/Temporary/LastTest.log 0 600    # log, whether ctest failed, seconds

Understands Catch2's closing lines ("All tests passed (9 assertions in 2 test cases)") and the checks' "name: 9 passed, 0 failed".
"""
import re
import sys

CHECK = re.compile(r"^([a-z_][\w ]*): (\d+) passed, (\d+) failed(?:, (\d+) skipped)?", re.M)
CATCH_GOOD = re.compile(r"^All tests passed \((\d+) assertions? in (\d+) test cases?\)", re.M)
CATCH_BAD = re.compile(r"^assertions: (.*)$", re.M)
NOT_RUN = re.compile(r"^.*not run: .*$", re.M)


def add_up(log):
    """(passed, failed, skipped, assertions, cases, {check: passed}, lines that say what could not run)"""
    passed = failed = skipped = assertions = cases = 0
    checks = {}
    for good, cs in CATCH_GOOD.findall(log):
        assertions, cases = assertions + int(good), cases + int(cs)
    for line in CATCH_BAD.findall(log):
        numbers = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed)", line)}
        assertions, failed = assertions + numbers.get("passed", 0), failed + numbers.get("failed", 0)
    for name, p, f, s in CHECK.findall(log):
        checks[name] = checks.get(name, 0) + int(p)
        passed, failed, skipped = passed + int(p), failed + int(f), skipped + int(s or 0)
    return passed + assertions, failed, skipped, assertions, cases, checks, sorted(set(NOT_RUN.findall(log)))


def main():
    path, ctest_failed, seconds = sys.argv[1], sys.argv[2] != "0", sys.argv[3]
    try:
        log = open(path, errors="replace").read()
    except OSError as problem:
        print(f"shardproof tests: FAILED: no log of a test run ({problem})")
        return 1
    passed, failed, skipped, assertions, cases, checks, not_run = add_up(log)
    ran = len(re.findall(r"^\d+/\d+ Test: ", log, re.M))
    print(*not_run, sep="\n", end="\n" if not_run else "")
    print(f"ctest entries: {ran}; Catch2: {assertions} assertions in {cases} test cases; "
          + "; ".join(f"{name}: {count}" for name, count in sorted(checks.items())))
    bad = ctest_failed or failed > 0 or passed == 0
    print(f"shardproof: {passed} passed, {max(failed, 1) if bad else 0} failed" + (f", {skipped} skipped" if skipped else ""))
    print(f"shardproof tests: {passed} checks passed" + (f", {max(failed, 1)} FAILED" if bad else ", none failed")
          + (f", {skipped} not run" if skipped else "") + f" ({seconds} s)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
