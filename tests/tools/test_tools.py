#!/usr/bin/env python3
"""Tests the checks themselves on small trees of their own: each must pass what is right and refuse what is wrong."""
import os
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))
import summary  # noqa: E402
from mutants import enumerations, mutants_of  # noqa: E402

RULE = """#pragma once
namespace shardproof {
template <class... T> inline constexpr bool never = false;
template <class... T> struct at;
template <class T> struct rule {
  static_assert(never<T>, "shardproof[SP107] contraction \\"mismatch\\": it is wrong. Fix: mend it.");
};
template <class T> constexpr int broken() { return int(sizeof(rule<T>)); }
}
"""
FAIL = """// error: shardproof[SP107] contraction "mismatch": it is wrong
// code: SP107
// path: rule<at<int>>
#include <shardproof/core/rule.hpp>
#ifdef MUST_FAIL
int x = shardproof::broken<shardproof::at<int>>();
#else
int x = 1;
#endif
"""


class Tree:
    """A throw-away repository."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.write("include/shardproof/core/rule.hpp", RULE)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, path):
        return (self.root / path).read_text()

    def run(self, tool, *arguments):
        done = subprocess.run([sys.executable, str(TOOLS / tool), *arguments], capture_output=True, text=True,
                              env={**os.environ, "SHARDPROOF_ROOT": str(self.root)})
        return done.returncode, done.stdout + done.stderr


class Checks(unittest.TestCase):
    def setUp(self):
        self.tree = Tree()
        self.addCleanup(self.tree.folder.cleanup)

    def says(self, status, text, tool, *arguments):
        got, out = self.tree.run(tool, *arguments)
        self.assertEqual(got, status, out)
        self.assertIn(text, out)
        return out

    def test_layers_look_one_way(self):
        self.says(0, "layers: 1 passed, 0 failed", "layers.py")
        self.tree.write("include/shardproof/plan/plan.hpp", "#pragma once\n#include <shardproof/core/rule.hpp>\n")
        self.tree.write("include/shardproof/runtime/node.hpp", "#pragma once\n#include <shardproof/core/rule.hpp>\n")
        self.says(0, "layers: 3 passed, 0 failed", "layers.py")
        self.tree.write("include/shardproof/runtime/tape.hpp", "\n#include <shardproof/plan/plan.hpp>\n")
        self.says(1, "runtime/tape.hpp:2: runtime looks up at plan", "layers.py")

    def test_layers_find_a_device_by_name(self):
        self.tree.write("include/shardproof/model/m.hpp", "#pragma once\n// not for cuda\n#ifdef __CUDACC__\n#endif\n")
        self.says(1, "model/m.hpp:3: model names a device", "layers.py")

    def test_packages_and_cycles(self):
        self.tree.write("include/shardproof/layer/a.hpp", "#include <Eigen/Core>\n#include <shardproof/layer/b.hpp>\n")
        self.tree.write("include/shardproof/layer/b.hpp", "// #include <Eigen/Core>\n#include <shardproof/layer/a.hpp>\n")
        out = self.says(1, "layer/a.hpp:1: layer includes <Eigen/Core>", "layers.py")
        self.assertIn("include cycle", out)
        self.assertNotIn("b.hpp:1", out)

    def test_must_fail(self):
        self.tree.write("tests/fail/good.cpp", FAIL)
        out = self.says(0, "must-fail: 1 files x compilers g++", "must_fail.py", "--compilers", "g++", "clang-19")
        self.assertIn(" 0 failed", out)
        self.says(0, ": 1 passed, 0 failed", "must_fail.py", "--compilers", "g++")                         # from the cache
        self.tree.write("include/shardproof/core/rule.hpp", RULE.replace("it is wrong", "it is odd"))
        self.says(1, "another error", "must_fail.py", "--compilers", "g++")                                # and not from it

    def test_must_fail_refuses(self):
        cases = {"sentence": (FAIL.replace("is wrong\n", "is fine\n"), "another error"),
                 "code": (FAIL.replace("// code: SP107", "// code: SP108"), "no [SP108]"),
                 "path": (FAIL.replace("rule<at<int>>", "rule<at<long>>"), "no match for"),
                 "compiles": (FAIL.replace("ifdef", "ifndef"), "does not compile cleanly"),
                 "never": (FAIL.replace("#ifdef MUST_FAIL", "#if 0"), "compiles with MUST_FAIL"),
                 "two": (FAIL.replace("#else", "int y = shardproof::broken<long>();\n#else"), "2 errors instead of 1"),
                 "long": (FAIL.replace("// code: SP107\n", "// code: SP107\n// lines: g++ 2\n"), "more than 2"),
                 "bare": (FAIL.split("\n", 3)[3], "does not open with")}
        for name, (text, why) in cases.items():
            self.tree.write(f"tests/fail/{name}.cpp", text)
        out = self.says(1, f": 0 passed, {len(cases)} failed", "must_fail.py", "--compilers", "g++")
        for name, (_, why) in cases.items():
            self.assertRegex(out, rf"tests/fail/{name}\.cpp .*{why.replace('[', chr(92) + '[')}")

    def test_static_and_self_contained(self):
        self.tree.write("tests/static/a.cpp", "static_assert(true); // static_assert(false);\nstatic_assert(1 + 1 == 2);\n")
        self.says(0, "static: 2 passed, 0 failed", "static.py", "--compilers", "g++")
        self.says(0, "self_contained: 1 passed, 0 failed", "self_contained.py", "--compilers", "g++")
        self.tree.write("tests/static/b.cpp", "static_assert(false);\n")
        self.tree.write("include/shardproof/core/b.hpp", "#pragma once\ninline std::size_t n;\n")
        self.says(1, "static: 2 passed, 1 failed", "static.py", "--compilers", "g++")
        self.says(1, "self_contained: 1 passed, 1 failed", "self_contained.py", "--compilers", "g++")

    def test_fences(self):
        self.tree.write("examples/a.cpp", "int main() {\n  //! [x]\n  int x = 1;\n    ++x;\n  //! [x]\n}\n")
        self.tree.write("README.md", "<!-- examples/a.cpp [x] -->\n```cpp\nint x = 2;\n```\n")
        self.says(1, "README.md:2: differs from examples/a.cpp [x]", "fences.py")
        self.says(0, "written", "fences.py", "--write")
        self.says(0, "fences: 1 passed, 0 failed", "fences.py")
        self.assertIn("```cpp\nint x = 1;\n  ++x;\n```\n", self.tree.read("README.md"))
        self.tree.write("docs/b.md", "```cpp\nint unchecked;\n```\n")
        self.says(1, "docs/b.md:1: a fence without a source", "fences.py")

    def test_errors_page(self):
        self.tree.write("include/shardproof/core/code.hpp", "  contraction = 1070,\n  usage = 10,\n")
        self.tree.write("include/shardproof/core/sentences.hpp",
                        '#define SHARDPROOF_SAYS_usage "shardproof[SP001] usage. Fix: see --help."\n'
                        '#define SHARDPROOF_SAYS_contraction '
                        '"shardproof[SP107] contraction \\"mismatch\\": it is wrong. Fix: mend it."\n')
        self.tree.write("tests/fail/good.cpp", FAIL)
        self.says(1, "out of date", "errors_page.py")
        self.says(0, "errors_page: 2 passed, 0 failed", "errors_page.py", "--write", "--compilers", "g++")
        self.says(0, "1 of them shown", "errors_page.py")
        page = self.tree.read("docs/errors.md")
        self.assertIn('## SP107 contraction "mismatch"', page)
        self.assertIn("error: static assertion failed: shardproof[SP107]", page)
        self.tree.write("tests/fail/good.cpp", FAIL.replace("int x = 1;", "int x = 2;"))
        self.says(1, "out of date", "errors_page.py")


class Mutants(unittest.TestCase):
    def test_only_running_code_is_changed(self):
        text = ("#if 1 == 0\n#endif\nenum class kind { a, b };\ntemplate <class T, int N = 1> struct s;  // a == b\n"
                'static_assert(1 + 1 == 2, "x");\ninline bool operator==(s<int> a, s<int> b) { return a.x < b.x && true; }\n'
                "inline kind f(int n) { return n ? kind::a : kind::b; }\nvirtual int g() const = 0;\n")
        found = [str(m).split("   ")[0] for m in mutants_of("f.hpp", text, enumerations([text]), random.Random(1))]
        self.assertEqual([m.split(": ")[0] for m in found], ["f.hpp:6", "f.hpp:6", "f.hpp:6", "f.hpp:7", "f.hpp:7", "f.hpp:7"])
        for m in mutants_of("f.hpp", text, enumerations([text]), random.Random(1)):
            self.assertNotEqual(m.applied(text), text)

    def test_killed_and_survived(self):
        tree = Tree()
        self.addCleanup(tree.folder.cleanup)
        tree.write("include/shardproof/core/sum.hpp", "#pragma once\ninline constexpr int twice(int x) { return x + x; }\n"
                   "inline int unseen(int x) { return x + x; }\ninline int seen(int x) { return x * 3; }\n")
        tree.write("tests/static/sum.cpp", "#include <shardproof/core/sum.hpp>\nstatic_assert(twice(3) == 6);\n")
        tree.write("tests/unit/main.cpp", "int failures();\nint main() { return failures(); }\n// CATCH_CONFIG_MAIN\n")
        tree.write("tests/unit/sum.cpp", "#include <shardproof/core/sum.hpp>\nint failures() { return seen(2) != 6; }\n"
                   "#undef TEST_CASE\n#define TEST_CASE(x)\nTEST_CASE(1)\n")
        status, out = tree.run("mutate.py", "--in", "core", "--count", "0", "--jobs", "1", "--at-least", "50")
        self.assertEqual(status, 0, out)
        self.assertIn("mutation: 2 of 4 killed (50.0 %), 2 survived", out)
        self.assertRegex(out, r"survivor: include/shardproof/core/sum.hpp:3: \+ -> -")


class Summary(unittest.TestCase):
    def test_adds_up(self):
        log = ("1/3 Test: unit.a\nAll tests passed (10 assertions in 2 test cases)\n"
               "2/3 Test: check.x\nmust_fail: 7 passed, 1 failed, 2 skipped\n"
               "3/3 Test: unit.b\ntest cases: 3 | 2 passed | 1 failed\nassertions: 5 | 4 passed | 1 failed\nnot run: no nvcc\n")
        passed, failed, skipped, assertions, cases, checks, not_run = summary.add_up(log)
        self.assertEqual((passed, failed, skipped, assertions, cases), (21, 2, 2, 14, 2))
        self.assertEqual(checks, {"must_fail": 7})
        self.assertEqual(not_run, ["not run: no nvcc"])


if __name__ == "__main__":
    done = unittest.main(exit=False, verbosity=1).result
    bad = len(done.failures) + len(done.errors)
    print(f"tools: {done.testsRun - bad} passed, {bad} failed")
    sys.exit(1 if bad else 0)
