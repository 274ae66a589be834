#!/usr/bin/env python3
"""Checks that the code in README.md and docs/*.md is the code that is compiled and run.

    python3 tests/tools/fences.py              # exit 1 where a fence and its source differ
    python3 tests/tools/fences.py --write      # copies the sources into the fences

A fence belongs to the comment right above it:

    <!-- examples/block.cpp [mlp] -->          the lines between two `//! [mlp]` lines of that file (`#! [mlp]` in CMake)
    <!-- examples/block.cpp -->                the whole file
    <!-- refused: tests/fail/x.cpp g++-12 -->  what that compiler prints for a program that must fail (where present)
    <!-- illustration -->                      code that is not meant to be compiled; the only way to have an unchecked C++ fence
"""
import argparse
import re
import sys
import textwrap

from common import Cache, ROOT, closing, common_options, compilers, sources

FENCE = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->[ \t]*\n\s*)?"
                   r"^(?P<ticks>```+)(?P<language>[^\n]*)\n(?P<body>.*?)^(?P=ticks)[ \t]*$", re.M | re.S)
SOURCE = re.compile(r"^(?P<path>(?:examples|tests|bench|cmake|include)/\S+?)(?: \[(?P<mark>[^\]]+)\])?$")
REFUSED = re.compile(r"^refused: (?P<path>\S+) (?P<compiler>\S+)$")
GENERATED = {"docs/errors.md"}                                       # checked by errors_page.py


def marked(path, mark):
    """The text between the two marks, less the indentation its lines share; the whole file, marks dropped, for no mark."""
    lines = (ROOT / path).read_text().splitlines()
    is_mark = [re.match(r"\s*(?://|#)! \[([^\]]+)\]\s*$", line) for line in lines]
    if mark is None:
        return "\n".join(line for line, m in zip(lines, is_mark) if not m) + "\n"
    at = [i for i, m in enumerate(is_mark) if m and m.group(1) == mark]
    if len(at) != 2:
        raise ValueError(f"{path} has {len(at)} lines '//! [{mark}]', not 2")
    kept = [line for line, m in zip(lines[at[0] + 1: at[1]], is_mark[at[0] + 1: at[1]]) if not m]
    return textwrap.dedent("\n".join(kept)).strip("\n") + "\n"


def wanted(note, body, found, cache):
    """What a fence must hold; None where this machine cannot know."""
    source, refused = SOURCE.match(note), REFUSED.match(note)
    if refused:
        compiler = next((c for c in found if c.name == refused["compiler"]), None)
        return cache.ask(compiler, refused["path"], "-DMUST_FAIL").text.rstrip() + "\n" if compiler else None
    if source:
        return marked(source["path"], source["mark"])
    return body


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    common_options(parser)
    options = parser.parse_args()
    cache, found = Cache(options.cache), compilers()[0]
    same = differ = skipped = 0
    for page in sorted(set(sources("*.md") + sources("docs/**/*.md")) - GENERATED):
        text = (ROOT / page).read_text()

        def visit(match):
            nonlocal same, differ, skipped
            note, body = match["note"] or "", match["body"]
            line = text.count("\n", 0, match.start("ticks")) + 1
            if not (SOURCE.match(note) or REFUSED.match(note)):
                if match["language"].strip() in ("cpp", "c++", "cmake") and note != "illustration":
                    print(f"{page}:{line}: a fence without a source. Fix: put <!-- examples/FILE [mark] --> above it.")
                    differ += 1
                return match.group()
            try:
                text_of_source = wanted(note, body, found, cache)
            except (OSError, ValueError) as problem:
                print(f"{page}:{line}: {problem}")
                differ += 1
                return match.group()
            if text_of_source is None:
                print(f"{page}:{line}: not run: no {note.split()[-1]}")
                skipped += 1
                return match.group()
            if text_of_source == body:
                same += 1
                return match.group()
            if not options.write:
                print(f"{page}:{line}: differs from {note}. Fix: python3 tests/tools/fences.py --write")
                differ += 1
                return match.group()
            same += 1
            start, end = match.start("body") - match.start(), match.end("body") - match.start()
            return match.group()[:start] + text_of_source + match.group()[end:]

        new = FENCE.sub(visit, text)
        if options.write and new != text:
            (ROOT / page).write_text(new)
            print(f"{page}: written")
    return closing("fences", same, differ, skipped)


if __name__ == "__main__":
    sys.exit(main())
