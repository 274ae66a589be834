#!/usr/bin/env python3
"""Writes docs/errors.md: a section per code, from the catalogue and from the programs of tests/fail.

    python3 tests/tools/errors_page.py             # exit 1 if the page is out of date (the compilers' texts aside)
    python3 tests/tools/errors_page.py --write     # writes it, with the texts of this machine's compilers; others stay
"""
import argparse
import re
import sys
import textwrap

from common import Cache, ROOT, closing, common_options, compilers, sources
from must_fail import Expected, error_lines, even

PAGE = ROOT / "docs" / "errors.md"
INTRO = """# Errors

Every refusal is one sentence, `shardproof[SPnnn] what. Fix: how.`, the same at compile time and at run time. The compiler prints
the facts beside it as type names: the layer's path `at<plan, layers, each, mlp, down_proj>`, what it was `fed<>`, what it
`needs<>`. At run time the facts follow the sentence in brackets. Search this page for the number or for a piece of your own
compiler's text: the texts below are what the compilers really print (only the line numbers of the headers may have moved since).

This page is made by `python3 tests/tools/errors_page.py --write` from the programs in `tests/fail`, each of which is compiled
twice by the tests: as broken, where exactly this sentence must appear, and as fixed, where nothing may.
"""


class Case:
    """One sentence of the catalogue and the programs that provoke it."""

    def __init__(self, name, number, sentence):
        self.name, self.number, self.sentence, self.files = name, number, sentence, []
        what, _, fix = re.sub(r"^shardproof\[SP\d+\] ", "", sentence).partition(" Fix: ")
        self.what, self.fix = what, fix
        self.title = re.split(r"[:;(\[]|\. |\.$", what)[0].strip()


def catalogue():
    """The cases in the order of their numbers, read from the two headers that hold them."""
    says = (ROOT / "include/shardproof/core/sentences.hpp").read_text().replace("\\\n", " ")
    numbers = dict(re.findall(r"^\s*(\w+) = (\d+),?$", (ROOT / "include/shardproof/core/code.hpp").read_text(), re.M))
    cases = []
    for name, literals in re.findall(r'^#define SHARDPROOF_SAYS_(\w+)((?:\s*"(?:[^"\\]|\\.)*")+)', says, re.M):
        sentence = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)).replace('\\"', '"')
        cases.append(Case(name, int(numbers[name]) // 10, sentence))
    return sorted(cases, key=lambda c: c.number)


def halves(file):
    """The lines only the broken program has, and those only the fixed one has."""
    broken, fixed, inside = [], [], None
    for line in (ROOT / file).read_text().splitlines():
        word = line.strip().replace(" ", "")
        if inside is None and word in ("#ifdefMUST_FAIL", "#ifdefinedMUST_FAIL", "#ifdefined(MUST_FAIL)"):
            inside = broken
        elif inside is None and word == "#ifndefMUST_FAIL":
            inside = fixed
        elif inside is not None and word.startswith("#else"):
            inside = fixed if inside is broken else broken
        elif inside is not None and word.startswith("#endif"):
            inside = None
        elif inside is not None:
            inside.append(line)
    return [textwrap.dedent("\n".join(part)).strip("\n") for part in (broken, fixed)]


def assign(cases, cache, judge):
    """Gives each program to the case whose whole sentence its compiler prints."""
    for file in sources("tests/fail/**/*.cpp"):
        said = even(" ".join(error_lines(cache.ask(judge, file, "-DMUST_FAIL").text)))
        case = next((c for c in cases if even(c.sentence) in said), None)
        if case:
            case.files.append(file)


def kept_texts():
    """Compilers' texts of the page as it stands: {(file, compiler): text}."""
    if not PAGE.is_file():
        return {}
    pattern = r"<details><summary>(\S+) on ([^<]+)</summary>\n\n```text\n(.*?)```\n\n</details>"
    return {(f, c): text for c, f, text in re.findall(pattern, PAGE.read_text(), re.S)}


def section(cases, cache, found, kept):
    """One code: its title, and its cases."""
    yield f"\n## SP{cases[0].number:03d} {cases[0].title}\n"
    for case in cases:
        yield f"\n**Meaning.** {case.what}\n\n**Fix.** {case.fix}\n"
        if not case.files:
            yield "\nNo program in `tests/fail` provokes it: it is raised when a plan, a file or a command is read.\n"
            continue
        file = min(case.files, key=lambda f: (len(Expected(f).sentences), (ROOT / f).read_text().count("\n"), f))
        broken, fixed = halves(file)
        yield f"\n**Broken** (`{file}`).\n\n```cpp\n{broken}\n```\n"
        if fixed:
            yield f"\n**Fixed.**\n\n```cpp\n{fixed}\n```\n"
        texts = {c.name: cache.ask(c, file, "-DMUST_FAIL").text for c in found}
        texts.update({name: text for (f, name), text in kept.items() if f == file and name not in texts})
        for name, text in sorted(texts.items(), key=lambda t: ("g++", "clan", "nvcc").index(t[0].split("-")[0][:4])):
            yield f"\n<details><summary>{name} on {file}</summary>\n\n```text\n{text.rstrip()}\n```\n\n</details>\n"
        others = [f"`{f}`" for f in case.files if f != file]
        if others:
            yield f"\nAlso: {', '.join(others)}.\n"


def page(cases, cache, found, kept):
    groups = {}
    for case in cases:
        groups.setdefault(case.number, []).append(case)
    yield INTRO
    for group in groups.values():
        yield from section(group, cache, found, kept)


def without_texts(text):
    return re.sub(r"\n<details>.*?</details>\n", "", text, flags=re.S)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    common_options(parser)
    options = parser.parse_args()
    cache = Cache(options.cache)
    found = [c for c in compilers(options.compilers)[0] if c.name != "clang-14"]
    cases = catalogue()
    assign(cases, cache, next(c for c in compilers()[0] if c.family == "g++"))
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text("".join(page(cases, cache, found, kept_texts())))
    now = PAGE.read_text() if PAGE.is_file() else ""
    wanted = "".join(page(cases, cache, [], {}))
    if without_texts(now) != wanted:
        print("docs/errors.md is out of date. Fix: python3 tests/tools/errors_page.py --write")
        return closing("errors_page", 0, 1)
    shown = sum(bool(c.files) for c in cases)
    return closing("errors_page", len(cases), 0, note=f"sentences, {shown} of them shown with a program that provokes them")


if __name__ == "__main__":
    sys.exit(main())
