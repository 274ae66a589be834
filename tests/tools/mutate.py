#!/usr/bin/env python3
"""Changes one operator or constant of the headers at a time and sees whether a test notices.

    python3 tests/tools/mutate.py --count 100 --seed 1                       # core, plan, tensor, runtime
    python3 tests/tools/mutate.py --in core plan/styles --count 30
    python3 tests/tools/mutate.py --list --in core                           # only says what could be changed
    python3 tests/tools/mutate.py --command 'some command run in the copied tree' ...

Each mutant lives in a copy of the tree. Killed means: the header's own assertions, a static test, a must-fail program, or a unit
test breaks (tests that can see the header, nearest first), or runs out of time, and the same test passes unchanged. A mutant that is no C++ at all is left out.
The list of survivors is the result: each is a missing test or a change without meaning.
"""
import argparse
import contextlib
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import common
from common import Compiler, ROOT, ask, closure, cores, relative, sources
from must_fail import Expected, judge
from mutants import enumerations, mutants_of

PARTS = ("include", "tests", "examples")
FLAGS = ["-std=c++20", "-w", "-Iinclude", "-Itests", '-DSHARDPROOF_TESTS="tests"']


REACH = {}


def reach(test):
    """The files of this tree a test can see."""
    if test not in REACH:
        REACH[test] = {relative(p) for p in closure(ROOT / test)}
    return REACH[test]


class Suite:
    """The tests that can see a header, in the order they are tried."""

    def __init__(self, options):
        self.options, self.took, self.sound, self.unsound = options, {}, set(), set()
        self.static = sources("tests/static/**/*.cpp")
        # One program a rule: all of them would take minutes a mutant, and the static tests know the rules by heart.
        of_rule = {}
        for f in sources("tests/fail/**/*.cpp"):
            if code := re.match(r"sp\d+", Path(f).name):
                of_rule.setdefault(code.group(), f)
        self.fail = sorted(of_rule.values())
        programs = sources("tests/unit/**/*.cpp") + (sources("tests/equivalence/**/*.cpp") if options.equivalence else [])
        def holds(file, pattern):
            return re.search(pattern, (ROOT / file).read_text(), re.M)

        # As tests/CMakeLists.txt divides them: what holds no test, or the kernels, is linked to every program.
        kernels = [f for f in programs if holds(f, r"^\s*#\s*include\s*<shardproof/backend/cpu[./]")]
        self.unit = [f for f in programs if f not in kernels and holds(f, r"\b(TEST_CASE|TEMPLATE_\w*TEST_CASE|SCENARIO)\b")]
        self.support = [f for f in sources("tests/unit/**/*.cpp") if f not in self.unit]
        self.families = sources("examples/cli/families/*.cpp")

    def seeing(self, tests, header):
        """A test named after the header first, then related names, then the quick ones (small ones, until their time is known)."""
        stem = Path(header).stem

        def order(test):
            name = Path(test).stem
            return name != stem, stem not in name and name not in stem, self.took.get(test, (ROOT / test).stat().st_size / 1000), test

        return sorted((t for t in tests if t not in self.unsound and header in reach(t)), key=order)


def in_threads(work, trees):
    threads = [threading.Thread(target=work, args=(tree,)) for tree in trees]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


class Tree:
    """One worker's copy, with objects of what every unit test links."""

    def __init__(self, suite, folder):
        self.suite, self.folder, self.objects, self.fresh = suite, Path(folder), {}, {}
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, self.folder / part, symlinks=True)
        stub = self.folder / "pch" / "catch2" / "catch.hpp"          # precompiled, found before the real one by -Ipch
        stub.parent.mkdir(parents=True)
        places = ("/usr/include/catch2/catch.hpp", "/usr/local/include/catch2/catch.hpp")
        real = next((p for p in places if os.path.isfile(p)), "")
        stub.write_text(f'#include "{real}"\n')
        self.run("g++", *FLAGS, "-O0", "-x", "c++-header", "-o", f"{stub}.gch", str(stub))

    def run(self, *command, timeout=None):
        return ask(list(command), timeout or self.suite.options.timeout, cwd=self.folder)

    def object_of(self, source, header):
        """(object file, None or what went wrong); compiled anew, once a mutant, if it can see the mutated header."""
        fresh = header in reach(source)
        store = self.fresh if fresh else self.objects
        if source not in store:
            out = f"{'mutant' if fresh else 'kept'}_{re.sub('[^A-Za-z0-9]', '_', source)}.o"
            pch = ["-Ipch", "-include", "catch2/catch.hpp"] if "CATCH_CONFIG_MAIN" not in (ROOT / source).read_text() else []
            # What a mutant forces anew is compiled quickly; the kernels, kept for all of them, run quickly.
            how = ["-O0", *pch] if fresh else ["-O1"]
            answer = self.run("g++", *FLAGS, *how, *common.system_includes(), "-c", source, "-o", out)
            store[source] = out, f"{source} does not compile" if answer.status else None
        return store[source]

    def unit_breaks(self, test, header):
        objects = []
        # Families register themselves, and are dear: only tests that can see them need them.
        families = self.suite.families if any("/families/" in file for file in reach(test)) else []
        for source in [test] + self.suite.support + families:
            out, wrong = self.object_of(source, header)
            if wrong:
                return wrong
            objects.append(out)
        if self.run("g++", *objects, "-o", "unit_test", "-pthread").status:
            return f"{test} does not link"
        status = self.run("./unit_test", "--abort", "-w", "NoTests").status
        return f"{test} " + ("runs out of time" if status == 124 else "fails") if status else None

    def breaks(self, test, header):
        """None if the test passes in this tree, else how it broke; `header` is the mutated one."""
        gpp = self.suite.options.gpp
        if test in self.suite.unit:
            return self.unit_breaks(test, header)
        if test in self.suite.static:
            return f"{test} does not compile" if self.run(*self.check(test)).status else None
        expected = Expected(test)
        if not gpp.matches(expected.only) or not expected.sentence(gpp):
            return None
        if self.run(*gpp.command(test)).status:
            return f"{test} does not compile as fixed"
        why = judge(expected, gpp, self.run(*gpp.command(test, "-DMUST_FAIL")))
        return f"{test}: {why}" if why else None

    @staticmethod
    def check(file):
        return ["g++", "-std=c++20", "-fsyntax-only", "-w", "-Iinclude", *common.system_includes(), "-x", "c++", file]

    def killed_by(self, test, mutant):
        """How `test` breaks of the mutant, if it passes on the tree as it is: asked once a test, when it first breaks."""
        suite, began = self.suite, time.monotonic()
        broke = self.breaks(test, mutant.file)
        suite.took[test] = time.monotonic() - began
        if not broke or test in suite.sound:
            return broke
        self.fresh = {}
        with self.unchanged(mutant):
            wrong = self.breaks(test, mutant.file)
        self.fresh = {}                                                # their objects are of the unchanged tree
        if not wrong:
            suite.sound.add(test)
            return broke
        suite.unsound.add(test)
        print(f"left out, since it fails unchanged: {wrong}", flush=True)
        return None

    def verdict(self, mutant):
        """('killed' | 'survived' | 'stillborn', by what)"""
        options, suite, header = self.suite.options, self.suite, mutant.file
        alone = self.run(*self.check(header))
        if alone.status:
            own = "static assertion failed" in alone.text or alone.status == 124
            return ("killed", "the header's own assertions") if own else ("stillborn", "does not compile alone")
        for test in suite.seeing(suite.static, header) + suite.seeing(suite.fail, header)[: options.programs]:
            broke = self.killed_by(test, mutant)
            if broke:
                return "killed", broke
        began, tests = time.monotonic(), suite.seeing(suite.unit, header)
        for i, test in enumerate(tests):
            if i >= options.units or time.monotonic() - began > options.seconds:
                return "survived", f"{i} of {len(tests)} unit test files tried"
            broke = self.killed_by(test, mutant)
            if broke:
                return "killed", broke
        if options.command and self.run("bash", "-c", options.command, timeout=options.command_timeout).status:
            return "killed", "the command"
        return "survived", f"all {len(tests)} unit test files tried"

    @contextlib.contextmanager
    def unchanged(self, mutant):
        """The tree as it is, for a while."""
        path = self.folder / mutant.file
        text = path.read_text()
        path.write_text((ROOT / mutant.file).read_text())
        try:
            yield
        finally:
            path.write_text(text)

    def try_one(self, mutant):
        self.fresh = {}
        path = self.folder / mutant.file
        text = path.read_text()
        path.write_text(mutant.applied(text))
        try:
            return self.verdict(mutant)
        finally:
            path.write_text(text)


def sample(options):
    """The chosen mutants: spread over the files, the same for the same seed and tree."""
    dice = random.Random(options.seed)
    files = [f for part in options.parts for f in sources(f"include/shardproof/{part}/**/*.hpp")]
    texts = {f: (ROOT / f).read_text() for f in files}
    enums = enumerations((ROOT / f).read_text() for f in sources("include/shardproof/**/*.hpp"))
    every = [m for f in files for m in mutants_of(f, texts[f], enums, dice)]
    chosen = every if options.count <= 0 else dice.sample(every, min(options.count, len(every)))
    if options.match:
        chosen = [m for m in every if re.search(options.match, str(m))]
    if options.only:
        ranges = [[int(n) for n in part.split("-")] for part in options.only.split(",")]
        chosen = [m for i, m in enumerate(chosen, 1) if any(r[0] <= i <= r[-1] for r in ranges)]
    return every, chosen


def report(results, every, began):
    counts = {word: sum(r[1] == word for r in results) for word in ("killed", "survived", "stillborn")}
    for mutant, word, by in results:
        if word == "survived":
            print(f"survivor: {mutant}   [{by}]")
    alive = counts["killed"] + counts["survived"]
    share = 100 * counts["killed"] / alive if alive else 0
    print(f"mutation: {counts['killed']} of {alive} killed ({share:.1f} %), {counts['survived']} survived, "
          f"{counts['stillborn']} were no C++; {len(every)} possible; {time.monotonic() - began:.0f} s")
    return share if alive else 0


def on_a_snapshot():
    """Runs this script on a copy of the tree, which nobody edits meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, Path(folder) / part, symlinks=True)
        return subprocess.run([sys.executable, __file__, *sys.argv[1:]], env={**os.environ, "SHARDPROOF_ROOT": folder}).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in", nargs="+", dest="parts", default=["core", "plan", "tensor", "runtime"], metavar="FOLDER")
    parser.add_argument("--count", type=int, default=100, help="mutants tried; 0 tries all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--match", metavar="REGEX", help="instead, those whose line in the list matches: survivors, after a test was added")
    parser.add_argument("--only", metavar="N,N-N", help="of those, these: what an earlier run had not tried, or its survivors")
    parser.add_argument("--jobs", type=int, default=min(2, cores()))
    parser.add_argument("--units", type=int, default=20, help="unit test files tried before a mutant is called a survivor")
    parser.add_argument("--programs", type=int, default=8, help="must-fail programs tried, those named alike and the quick ones first")
    parser.add_argument("--seconds", type=float, default=600, help="time for the unit tests of one mutant")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one compiler or test")
    parser.add_argument("--equivalence", action="store_true", help="tests/equivalence too")
    parser.add_argument("--command", help="a last test, run by bash in the copied tree")
    parser.add_argument("--command-timeout", type=float, default=1200)
    parser.add_argument("--at-least", type=float, default=90, help="exit 1 if fewer per cent are killed")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if "SHARDPROOF_ROOT" not in os.environ:
        return on_a_snapshot()
    began = time.monotonic()
    every, chosen = sample(options)
    if options.list:
        print(*chosen, f"{len(every)} possible mutants", sep="\n")
        return 0
    options.gpp = Compiler("g++", shutil.which("g++"))
    suite, todo, results = Suite(options), queue.SimpleQueue(), []
    for mutant in chosen:
        todo.put(mutant)
    talk = threading.Lock()

    def work(tree):
        while True:
            try:
                mutant = todo.get_nowait()
            except queue.Empty:
                return
            word, by = tree.try_one(mutant)
            with talk:
                results.append((mutant, word, by))
                print(f"[{len(results)}/{len(chosen)}] {word:9} {mutant}   [{by}]", flush=True)

    with tempfile.TemporaryDirectory() as top:
        trees = [Tree(suite, Path(top) / f"tree{i}") for i in range(options.jobs)]
        print(f"{len(chosen)} of {len(every)} mutants", flush=True)
        in_threads(work, trees)
    share = report(results, every, began)
    return 0 if chosen and share >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
