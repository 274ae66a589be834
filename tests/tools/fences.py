#!/usr/bin/env python3
"""Checks that the code in README.md and docs/*.md is the code that is compiled and run.

    python3 tests/tools/fences.py              # exit 1 where a fence and its source differ
    python3 tests/tools/fences.py --write      # copies the sources into the fences

A fence belongs to the comment right above it:

    <!-- examples/block.cpp [mlp] -->          what stands between `//! [mlp]` lines of that file (`#! [mlp]` in CMake)
    <!-- examples/block.cpp -->                the whole file
    <!-- refused: tests/fail/x.cpp g++-12 -->  what that compiler (where present) prints for a program that must fail, shortened
                                               by `excerpt`; -DNAME behind it where the macro is not MUST_FAIL
    <!-- illustration -->                      code that is not meant to be compiled: the only unchecked C++ or CMake fence

A quoted line `> shardproof[SPnnn] ...` must be a sentence of the catalogue, and a relative link must lead somewhere.
"""
import argparse
import re
import sys
import textwrap

from common import Cache, ROOT, closing, common_options, compilers, sources

FENCE = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->[ \t]*\n\s*)?"
                   r"^(?P<ticks>```+)(?P<language>[^\n]*)\n(?P<body>.*?)^(?P=ticks)[ \t]*$", re.M | re.S)
SOURCE = re.compile(r"^(?P<path>(?:examples|tests|bench|cmake|include)/\S+?)(?: \[(?P<mark>[^\]]+)\])?$")
REFUSED = re.compile(r"^refused: (?P<path>\S+) (?P<compiler>\S+)(?: (?P<flag>-D\w+))?$")
GENERATED = {"docs/errors.md"}                                       # checked by errors_page.py


def marked(path, mark):
    """The text between each two marks, less the indentation its lines share; the whole file, marks dropped, for no mark."""
    lines = (ROOT / path).read_text().splitlines()
    is_mark = [re.match(r"\s*(?://|#)! \[([^\]]+)\]\s*$", line) for line in lines]
    if mark is None:
        return "\n".join(line for line, m in zip(lines, is_mark) if not m) + "\n"
    at = [i for i, m in enumerate(is_mark) if m and m.group(1) == mark]
    if not at or len(at) % 2:
        raise ValueError(f"{path} has {len(at)} lines '//! [{mark}]', not pairs of them")
    kept = [lines[i] for first, last in zip(at[::2], at[1::2]) for i in range(first + 1, last) if not is_mark[i]]
    return textwrap.dedent("\n".join(kept)).strip("\n") + "\n"


def excerpt(text, folder):
    """Of a compiler's text: the facts, the lines in the program's own files, the error; `...` for lines left out. Line numbers of
    the library's headers and what was bound to template parameters are dropped: they change whenever a header does."""
    kept, gap = [], False
    for line in text.splitlines():
        own = line.startswith(folder + "/") and "required from" in line
        if own or ": error: " in line or "In instantiation of 'struct shardproof::verdict<" in line:
            line = re.sub(r" \[with .*\]'$", " [with ...]'", re.sub(r"\bauto:\d+", "auto", line))
            kept += ["..."] * (gap and bool(kept)) + [re.sub(r"^(include/\S+?\.hpp):\d+(:\d+)?:", r"\1:", line)]
            gap = False
        else:
            gap = True
    return "\n".join(kept) + "\n"


def strange_quotes(text):
    """Lines that quote a sentence the catalogue does not have: (line number, line)."""
    catalogue = ROOT / "include/shardproof/core/sentences.hpp"
    known = catalogue.read_text().replace('\\"', '"') if catalogue.is_file() else ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("> shardproof[SP") and f'"{line[2:].strip()}"' not in known:
            yield number, line


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page, text):
    """Relative links of a page that lead nowhere: (line number, target)."""
    for match in re.finditer(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        target = (ROOT / page).parent / match[1] if match[1] else ROOT / page
        if not target.exists() or (match[2] and match[2] not in anchors(target)):
            yield text.count("\n", 0, match.start()) + 1, match.group()[2:-1]


def wanted(note, body, found, cache):
    """What a fence must hold; None where this machine cannot know."""
    source, refused = SOURCE.match(note), REFUSED.match(note)
    if refused:
        compiler = next((c for c in found if c.name == refused["compiler"]), None)
        if not compiler:
            return None
        answer = cache.ask(compiler, refused["path"], refused["flag"] or "-DMUST_FAIL")
        if answer.status == 0:
            raise ValueError(f"{compiler.name} accepts {refused['path']}")
        return excerpt(answer.text, refused["path"].split("/")[0])
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
        for line, target in dead_links(page, text):
            print(f"{page}:{line}: the link {target} leads nowhere.")
            differ += 1
        for line, quote in strange_quotes(text):
            print(f"{page}:{line}: no sentence of the catalogue: {quote[2:60]}... Fix: quote core/sentences.hpp.")
            differ += 1

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
                print(f"{page}:{line}: not run: no {REFUSED.match(note)['compiler']}")
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
