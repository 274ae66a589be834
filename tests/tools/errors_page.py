#!/usr/bin/env python3
"""Writes docs/errors.md: a section per code, from the catalogue and from the programs that provoke it.

    python3 tests/tools/errors_page.py             # exit 1 if the page is not what the sources and g++ say
    python3 tests/tools/errors_page.py --write     # writes it
    python3 tests/tools/errors_page.py --messages build/examples/refusals      # puts what that program prints into its source

While compiling: tests/fail, each program by what g++ prints for it (fences.py says which of its lines). At start-up and at run
time: examples/refusals, whose messages are compared by the program itself. Under another g++ than the page's, the compiler's
texts are not compared.
"""
import argparse
import re
import subprocess
import sys
import textwrap

from common import Cache, ROOT, closing, common_options, compilers, in_parallel, relative, sources
from fences import excerpt
from must_fail import error_lines, even

PAGE = ROOT / "docs" / "errors.md"
REFUSALS = ROOT / "examples" / "refusals" / "main.cpp"
INTRO = """# Errors

Every refusal is one sentence, `shardproof[SPnnn] what. Fix: how.`, with the same words at compile time and at run time.

* **While compiling** the facts stand beside the sentence as type names, in the line "In instantiation of": the layer's path
  `at<plan, layers, each, mlp, down_proj>`, what it was `fed<>`, what it `needs<>`. One mistake gives one error.
* **At start-up and at run time** the facts stand behind the sentence in brackets: `[at layers.0.mlp.down_proj, fed ..., needs
  ...]`. The exception is `sp::error`; `which()` is the code, `what()` the line. The program prints it and exits with status 2.

Search this page for the number, or for a piece of your own compiler's text. Dimensions that a program does not declare (`hidden`,
`ffn`, `q_heads`, `stream`) are those of `tests/fail/llama/dims.hpp`, and `llama` is the model beside it. Of a compiler's text the
page shows the facts, the lines in the program's own files, and the error, without line numbers of the library; `...` stands for
what is left out.

This page is made by `python3 tests/tools/errors_page.py --write`; a test compares it with the sources and with what g++ prints.
"""
WHEN = {0: "when a call or a command makes no sense",
        1: "while compiling; for a plan that is read at start-up, when it is bound or tried in a dry run",
        2: "while compiling; for a plan that is read at start-up, when it is parsed or bound",
        3: "while compiling; for a plan that is read at start-up, when it is tried in a dry run",
        4: "while compiling; for a plan that is read at start-up, when it is used",
        5: "while running",
        6: "when a file is read or written, before any rank computes"}
# Sentences that nothing raises, and why they are in the catalogue.
RESERVED = {
    "no_such_axis": "Nothing raises it: an axis is a type (`sp::tp`, `sp::dp`), and a name that does not exist is the compiler's "
                    "own error. The number is kept for meshes that are read at start-up.",
    "nothing_to_save": "Nothing raises it: `sp::save` writes parameters, and no style can place one as Partial or Varying. The "
                       "number is kept for savers of activations.",
    "gradient_placement": "Nothing raises it: the tape accumulates a gradient into its own placement only. The number is kept "
                          "for accumulation by hand."}
# Raised by the program of examples/cli alone.
COMMANDS = {"no_device": "shardproof run FOLDER --device cuda --input IN --output OUT",
            "device_failed": "shardproof train FOLDER --device cuda --data FILE --output OUT     # a model larger than the GPU's memory"}


class Case:
    """One sentence of the catalogue, the programs that provoke it, and its refusal at run time: (code, message)."""

    def __init__(self, name, number, sentence):
        self.name, self.number, self.sentence, self.files, self.refusal = name, number, sentence, [], None
        what, _, self.fix = re.sub(r"^shardproof\[SP\d+\] ", "", sentence).partition(" Fix: ")
        self.title = re.split(r"[:;\[]|\. |\.$", re.sub(r" \([^)]*\)", "", what))[0].strip()


def catalogue():
    """The cases in the order of their numbers, read from the two headers that hold them."""
    says = (ROOT / "include/shardproof/core/sentences.hpp").read_text().replace("\\\n", " ")
    numbers = dict(re.findall(r"^\s*(\w+) = (\d+),?$", (ROOT / "include/shardproof/core/code.hpp").read_text(), re.M))
    cases = []
    for name, literals in re.findall(r'^#define SHARDPROOF_SAYS_(\w+)((?:\s*"(?:[^"\\]|\\.)*")+)', says, re.M):
        cases.append(Case(name, int(numbers[name]) // 10, spelled(literals)))
    return sorted(cases, key=lambda c: c.number)


def spelled(literals):
    """The text of adjacent string literals."""
    return re.sub(r"\\(.)", r"\1", "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)))


def assign(cases, cache, judge, jobs):
    """Gives each program of tests/fail to the case whose whole sentence its compiler prints; returns those texts."""
    texts = {}
    files = sources("tests/fail/**/*.cpp")
    for file, answer in zip(files, in_parallel(files, lambda f: cache.ask(judge, f, "-DMUST_FAIL"), jobs)):
        said = even(" ".join(error_lines(answer.text)))
        case = next((c for c in cases if even(c.sentence) in said), None)
        if case:
            case.files.append(file)
            texts[file] = answer.text
    return texts


def take_refusals(cases):
    """From examples/refusals: `refuse(sp::code::NAME, [&] { //! [NAME] ... //! [NAME] ... }, "message");`"""
    if not REFUSALS.is_file():
        return
    call = re.compile(r"refuse\(sp::code::(\w+), \[&\] \{\n.*?//! \[\1\]\n(.*?)\n[^\n]*//! \[\1\]\n.*?\n  \}, "
                      r'((?:"(?:[^"\\]|\\.)*"\s*)+)\);', re.S)
    for name, body, message in call.findall(REFUSALS.read_text()):
        case = next((c for c in cases if c.name == name), None)
        if case is None:
            sys.exit(f"{relative(REFUSALS)}: the catalogue has no code {name}")
        case.refusal = (textwrap.dedent(body).strip("\n"), spelled(message))


def put_messages(binary):
    """After a message has changed: the literals of examples/refusals become what the program, built before, prints."""
    said = [line for line in subprocess.run([binary], capture_output=True, text=True).stdout.splitlines()
            if line.startswith("shardproof[")]
    parts = re.split(r'(  \}, (?:"(?:[^"\\]|\\.)*"\s*)+\);)', REFUSALS.read_text())
    if len(said) != len(parts[1::2]):
        sys.exit(f"{binary} prints {len(said)} messages, and its source has {len(parts[1::2])}")
    for i, text in enumerate(said):
        lines = [""]
        for word in re.findall(r"\S+ ?", text):
            word = word.replace("\\", "\\\\").replace('"', '\\"')
            if len(lines[-1]) + len(word) > 122:
                lines.append("")
            lines[-1] += word
        parts[2 * i + 1] = '  }, "' + '"\n     "'.join(lines) + '");'
    REFUSALS.write_text("".join(parts))


def program(file):
    """The broken program as its author would have written it, and the lines that mend it."""
    broken, fixed, inside = [], [], None
    for line in (ROOT / file).read_text().splitlines():
        word = line.strip().replace(" ", "")
        if inside is None and word in ("#ifdefMUST_FAIL", "#ifdefined(MUST_FAIL)"):
            inside = "broken"
        elif inside is None and word == "#ifndefMUST_FAIL":
            inside = "fixed"
        elif inside and word.startswith("#else"):
            inside = "fixed" if inside == "broken" else "broken"
        elif inside and word.startswith("#endif"):
            inside = None
        elif inside == "fixed":
            fixed.append(line)
        elif inside or not re.match(r"\s*#\s*include|// (error|code|path|errors|lines|near|compilers)\b", line):
            broken.append(line)
    return [re.sub(r"\n{3,}", "\n\n", textwrap.dedent("\n".join(part)).strip("\n")) for part in (broken, fixed)]


def anchor(title):
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def heading(case):
    return f"SP{case.number:03d} {case.title}"


def section(cases, texts, judge):
    """One code: its title, and its cases."""
    yield f"\n## {heading(cases[0])}\n\nFound {WHEN.get(cases[0].number // 100, 'while compiling')}.\n"
    for case in cases:
        if len(cases) > 1:
            yield f"\n### SP{case.number:03d}: {case.name.replace('_', ' ')}\n"
        yield "\n> " + case.sentence.replace("<", "\\<") + "\n"          # `<G>` would be taken for HTML
        if case.name in RESERVED:
            yield f"\n{RESERVED[case.name]}\n"
        if case.name in COMMANDS:
            yield f"\nThe program raises it:\n\n```\n{COMMANDS[case.name]}\n```\n"
        if case.files:
            file = min(case.files, key=lambda f: ("/sp" not in f, (ROOT / f).read_text().count("\n"), f))
            broken, fixed = program(file)
            yield f"\nWrong (`{file}`):\n\n```cpp\n{broken}\n```\n"
            yield f"\n{judge} prints:\n\n```text\n{excerpt(texts[file], 'tests')}```\n"
            if fixed:
                yield f"\nMended:\n\n```cpp\n{fixed}\n```\n"
            others = [f"`{f.split('/')[-1]}`" for f in case.files if f != file]
            if others:
                yield f"\nAlso in `tests/fail`: {', '.join(others)}.\n"
        if case.refusal:
            yield f"\n{'At start-up' if case.files else 'Wrong'} (`{relative(REFUSALS)}`):\n\n```cpp\n{case.refusal[0]}\n```\n"
            yield f"\n```text\n{case.refusal[1]}\n```\n"
        if not (case.files or case.refusal or case.name in RESERVED or case.name in COMMANDS):
            yield "\nNo program provokes it.\n"


def page(cases, texts, judge):
    groups = {}
    for case in cases:
        groups.setdefault(case.number, []).append(case)
    yield INTRO
    yield "\n| code | what |\n|---|---|\n"
    for group in groups.values():
        yield f"| [SP{group[0].number:03d}](#{anchor(heading(group[0]))}) | {group[0].title.replace('|', chr(92) + '|')} |\n"
    for group in groups.values():
        yield from section(group, texts, judge)


def without_texts(text):
    return re.sub(r"\n\S+ prints:\n\n```text\n.*?\n```\n", "", text, flags=re.S)


def raised_after_all(cases):
    """Reserved sentences that some header raises, and sentences that nothing shows."""
    headers = [f for f in sources("include/**/*.hpp") if not f.startswith("include/shardproof/core/")]
    used = set(re.findall(r"code::(\w+)", "\n".join((ROOT / f).read_text() for f in headers)))
    for case in cases:
        if case.name in RESERVED and (case.name in used or case.files or case.refusal):
            yield f"SP{case.number:03d} {case.name} is raised. Fix: take it out of RESERVED, and show a program."
        elif REFUSALS.is_file() and not (case.files or case.refusal or case.name in RESERVED or case.name in COMMANDS):
            yield f"SP{case.number:03d} {case.name} is shown by no program. Fix: add one to tests/fail or examples/refusals."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--messages", metavar="PROGRAM")
    common_options(parser)
    options = parser.parse_args()
    if options.messages:
        return put_messages(options.messages)
    judge = next(c for c in compilers()[0] if c.family == "g++")
    cases = catalogue()
    texts = assign(cases, Cache(options.cache), judge, options.jobs)
    take_refusals(cases)
    wanted = "".join(page(cases, texts, judge.name))
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(wanted)
    now = PAGE.read_text() if PAGE.is_file() else ""
    problems = list(raised_after_all(cases))
    if f"\n{judge.name} prints:" not in now:
        print(f"not run: the page's texts are of another compiler than {judge.name}")
        now, wanted = without_texts(now), without_texts(wanted)
    if now != wanted:
        problems.append("docs/errors.md is out of date. Fix: python3 tests/tools/errors_page.py --write")
    print(*problems, sep="\n", end="\n" if problems else "")
    if problems:
        return closing("errors_page", 0, len(problems))
    shown = sum(bool(c.files or c.refusal) for c in cases)
    return closing("errors_page", len(cases), 0, note=f"sentences, {shown} of them shown with a program that provokes them")


if __name__ == "__main__":
    sys.exit(main())
