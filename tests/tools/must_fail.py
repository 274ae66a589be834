#!/usr/bin/env python3
"""Compiles every program of tests/fail twice: as it should be (no diagnostic), and with -DMUST_FAIL (refused, by the rule).

    python3 tests/tools/must_fail.py                             # all files, all compilers; a table; exit 1 on failure
    python3 tests/tools/must_fail.py sp107 --compilers g++       # only files whose name contains sp107
    python3 tests/tools/must_fail.py --print tests/fail/x.cpp clang-19      # what a user sees

A file opens with what must come out; the first line is needed, the others are optional:

    // error: shardproof[SP107] contraction mismatch: the contracted dimension is sharded on one operand only
    // error(clang): a sentence of clang's own, where the refusal is the compiler's and not ours
    // code: SP107                 must stand in an error line
    // path: at<.*mlp, down_proj>  a regular expression that must match (shardproof:: is dropped before); may be repeated
    // errors: 2                   errors expected; 1 where not given
    // lines: g++ 25, clang 40     no longer than this
    // near: 12                    the file's own name and a line number stand within the first 12 lines
    // compilers: g++ clang-19     only these

The sentence must stand, word for word, in an error line (line wraps and the compilers' quotes are evened out first).
"""
import argparse
import re
import statistics
import sys

from common import Cache, ROOT, closing, common_options, compilers, in_parallel, sources

ERROR_LINE = re.compile(r"^(?:[^\s].*?:\d+(?::\d+)?: |[^\s].*?\(\d+\): |[\w+.-]+: )"
                        r"(?:(?:fatal|catastrophic|internal compiler) )?error\b.*", re.M)
HEAD = re.compile(r"^// (error|code|path|errors|lines|near|compilers)(?:\(([^)]*)\))?: *(.*?) *$")


class Expected:
    """The opening comment of one file."""

    def __init__(self, file):
        self.file, self.sentences, self.paths, self.limits = file, {}, [], {}
        self.code, self.errors, self.near, self.only = None, 1, 0, []
        for line in (ROOT / file).read_text().splitlines():
            match = HEAD.match(line)
            if not match:
                break
            key, who, value = match.groups()
            if key == "error":
                self.sentences[who or ""] = value
            elif key == "code":
                self.code = value
            elif key == "path":
                self.paths.append(re.compile(value))
            elif key == "errors":
                self.errors = int(value)
            elif key == "near":
                self.near = int(value)
            elif key == "compilers":
                self.only = value.split()
            else:
                self.limits = dict((name, int(n)) for name, n in re.findall(r"([\w+-]+) (\d+)", value))

    def sentence(self, compiler):
        """The most particular sentence: for clang-19, then clang, then everyone."""
        return next((self.sentences[k] for k in (compiler.name, compiler.family, "") if k in self.sentences), None)


def even(text):
    """Quotes, escapes, line wraps and our namespace evened out, so that four compilers can be compared with one sentence."""
    for fancy, plain in (("\u2018", "'"), ("\u2019", "'"), ('\\"', '"'), ("shardproof::", ""), ("> >", ">>")):
        text = text.replace(fancy, plain)
    text = re.sub(r"\b(\d+)L\b", r"\1", text)                            # nvcc writes long constants as 4L
    return re.sub(r"\s+", " ", text.replace("> >", ">>"))


def facts(pattern):
    """The parts of a list of facts, split at the commas outside of angle brackets."""
    parts, depth = [""], 0
    for letter in pattern:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def error_lines(text):
    return [match.group() for match in ERROR_LINE.finditer(text)]


def judge(expected, compiler, answer):
    """None if the refusal is the expected one, else what is wrong with it."""
    errors = error_lines(answer.text)
    sentence = expected.sentence(compiler)
    if answer.status == 124:
        return "timed out"
    if "internal compiler error" in answer.text or "Segmentation fault" in answer.text or answer.status < 0:
        return "the compiler itself broke down"
    if answer.status == 0:
        return "compiles with MUST_FAIL"
    if not any(even(sentence) in even(e) for e in errors):
        if even(sentence) not in even(answer.text):
            return f"another error: {even(errors[0])[:150] if errors else 'none at all'}"
        return "the sentence stands outside the error line"
    if len(errors) != expected.errors:
        return f"{len(errors)} errors instead of {expected.errors}: " + " | ".join(even(e)[:90] for e in errors[:3])
    if expected.code and not any(f"[{expected.code}]" in e for e in errors):
        return f"no [{expected.code}] in the error"
    text = even(answer.text)
    for path in expected.paths:
        # nvcc prints the facts of a variadic template apart from its first argument, so each fact of a list may stand by itself.
        if not path.search(text) and not all(re.search(fact, text) for fact in facts(path.pattern)):
            return f"no match for {path.pattern}"
    limit = expected.limits.get(compiler.name, expected.limits.get(compiler.family))
    lines = answer.text.rstrip().count("\n") + 1
    if limit and lines > limit:
        return f"{lines} lines, more than {limit}"
    name = re.escape(expected.file.split("/")[-1])
    first = "\n".join(answer.text.splitlines()[: expected.near])
    if expected.near and not re.search(rf"{name}[:(]\d+|at line \d+ of \S*{name}", first):
        return f"its own file and line are not within the first {expected.near} lines"
    return None


def check(cache, expected, compiler):
    """(why or None, lines of the refusal, text to show on failure)"""
    if not expected.sentence(compiler):
        return "the file does not open with '// error: ' and a sentence", 0, ""
    good = cache.ask(compiler, expected.file)
    if good.status or good.text.strip():
        return "does not compile cleanly without MUST_FAIL", 0, good.text
    bad = cache.ask(compiler, expected.file, "-DMUST_FAIL")
    why = judge(expected, compiler, bad)
    return why, bad.text.rstrip().count("\n") + 1 if bad.text.strip() else 0, bad.text if why else ""


def run(files, found, missing, cache, jobs):
    for line in missing:
        print(line)
    expected = [Expected(f) for f in files]
    work = [(e, c) for e in expected for c in found if c.matches(e.only)]
    width = max([len(f) for f in files] + [4])
    print(f"{'file':{width}}  {'compiler':9}  lines  result")
    failed, lengths = 0, {c.name: [] for c in found}
    for (e, c), (why, lines, text) in zip(work, in_parallel(work, lambda w: check(cache, *w), jobs)):
        print(f"{e.file:{width}}  {c.name:9}  {lines:5}  {'FAILED: ' + why if why else 'ok'}", flush=True)
        failed += bool(why)
        lengths[c.name].append(lines)
        for line in text.splitlines()[:30]:
            print(f"    {line[:240]}")
    for name, lines in lengths.items():
        if lines:
            print(f"lines of a refusal, {name}: median {statistics.median(lines):g}, longest {max(lines)}")
    names = " ".join(c.name for c in found)
    print(f"must-fail: {len(files)} files x compilers {names}: {len(work) - failed} passed, {failed} failed")
    if not files or not found:
        print("must-fail: nothing to do: no file or no compiler")
        return closing("must_fail", 0, 1)
    return closing("must_fail", len(work) - failed, failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only files whose name contains one of these")
    parser.add_argument("--print", nargs=2, metavar=("FILE", "COMPILER"), dest="show")
    common_options(parser)
    options = parser.parse_args()
    cache = Cache(options.cache)
    # clang 14 is a bonus of the static tests: after a failed assertion it adds an error of its own (an incomplete verdict).
    found, missing = compilers([options.show[1]] if options.show else options.compilers)
    if not options.show and not options.compilers:
        found = [c for c in found if not c.name.startswith("clang-14")]
    if options.show:
        if not found:
            sys.exit(f"no compiler {options.show[1]} here")
        print(cache.ask(found[0], options.show[0], "-DMUST_FAIL").text, end="")
        return 0
    files = [f for f in sources("tests/fail/**/*.cpp") if not options.names or any(n in f for n in options.names)]
    return run(files, found, missing, cache, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
