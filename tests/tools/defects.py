#!/usr/bin/env python3
"""Checks docs/defects.md: every defect of the field has its row once, and every test that a row names exists.

    python3 tests/tools/defects.py             # exit 1: a test that is gone, a row that is missing, a test that no row names

A row's last cell lists `file`: "beginning of the test's name", or `file` alone for a program of tests/fail. In tests/unit and
tests/equivalence the words must begin the name of a test there, elsewhere they must stand in the file.
"""
import re
import sys

from common import ROOT, closing, sources

PAGE = "docs/defects.md"
ABSENT = {9, 21, 47, 48, 50, 51}                                     # numbers that were never given
WANTED = [f"B{n:02}" for n in range(1, 54) if n not in ABSENT] + ["B27b"]
ROW = re.compile(r"^\| (B\d+\w?) \| (.+) \| (.+) \| (.+) \|$", re.M)
SHOWN = re.compile(r'`([^`]+)`(?:: "([^"]+)")?')
TEST = re.compile(r'\b(?:TEST_CASE|TEMPLATE_TEST_CASE)\(\s*"((?:[^"\\]|\\.)*)"')


def names_in(file):
    return TEST.findall((ROOT / file).read_text())


def problem_with(file, words):
    """Why that is no test, or None."""
    if not (ROOT / file).is_file():
        return f"{file} does not exist"
    if not words:
        return None if file.startswith("tests/fail/") else f"{file}: no test is named"
    if file.startswith(("tests/unit/", "tests/equivalence/")):
        found = sum(name.startswith(words) for name in names_in(file))
        return None if found == 1 else f'{file}: {found} tests begin with "{words}"'
    return None if words in (ROOT / file).read_text() else f'{file}: "{words}" does not stand there'


def main():
    rows = ROW.findall((ROOT / PAGE).read_text())
    problems, checked, named = [], 0, set()
    for number, _, _, cell in rows:
        shown = SHOWN.findall(cell)
        left = re.sub(r"[;\s]", "", SHOWN.sub("", cell))
        if not shown or left:
            problems.append(f'{number}: the last cell is not a list of `file`: "test"')
        for file, words in shown:
            checked += 1
            named.add((file, words.split(" ")[0]))
            why = problem_with(file, words)
            if why:
                problems.append(f"{number}: {why}")
    numbers = [row[0] for row in rows]
    problems += [f"{n}: {numbers.count(n)} rows instead of one" for n in WANTED if numbers.count(n) != 1]
    problems += [f"{n}: no such defect" for n in numbers if n not in WANTED]
    for file in sources("tests/unit/**/*.cpp") + sources("tests/equivalence/**/*.cpp"):
        for name in names_in(file):
            first = name.split(" ")[0]
            if re.fullmatch(r"B\d+\w?", first) and (file, first) not in named:
                problems.append(f'{file}: no row names "{name}"')
    print(*problems, sep="\n", end="\n" if problems else "")
    return closing("defects", checked + len(WANTED) - len(problems), len(problems))


if __name__ == "__main__":
    sys.exit(main())
