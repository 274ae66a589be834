"""Calls the program that SHARDPROOF names, and counts what is checked.

from support.program import Checks, run
checks = Checks("contract")
r = run("run", folder, "--tp", 2, "--input", i, "--output", o)
checks.that(r.status == 0, "run succeeds", r)       # prints what failed, with the call
sys.exit(checks.finish())                           # "contract: 1 passed, 0 failed"
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROGRAM = os.path.abspath(os.environ.get("SHARDPROOF") or os.path.join(ROOT, "build", "bin", "shardproof"))
REFUSAL = re.compile(r"shardproof\[SP(\d{3})\] \S.* Fix: \S.*\n")


class Answer:
    """What a call returned."""

    def __init__(self, arguments, status, out, err):
        self.arguments, self.status, self.out, self.err = arguments, status, out, err

    @property
    def code(self):
        """The number of its SP code; None if standard error is not exactly one such line."""
        found = REFUSAL.fullmatch(self.err)
        return int(found.group(1)) if found else None

    @property
    def fix(self):
        return self.err.rsplit(" Fix: ", 1)[-1].strip()

    def __str__(self):
        call = " ".join(os.path.relpath(a) if os.path.isabs(a) and os.path.exists(a) else a for a in self.arguments)
        return f"shardproof {call}: exit {self.status}\n    out: {self.out[:300].strip()}\n    err: {self.err[:900].strip()}"


def run(*arguments, limit=120, **options):
    """`options` go to subprocess.run; output is text."""
    words = [str(a) for a in arguments]
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run([PROGRAM, *words], text=True, timeout=limit, **options)
    return Answer(words, done.returncode, done.stdout or "", done.stderr or "")


def scratch_folder():
    """A new folder, in memory where there is room: a busy disk makes every fsync wait."""
    memory = "/dev/shm"
    fits = os.path.isdir(memory) and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 28
    return tempfile.mkdtemp(prefix="shardproof-", dir=memory if fits else None)


def snapshot(folder):
    """{path: (kind, checksum, times)} of everything below."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(base, name)
            info = os.lstat(path)
            kind, content = "other", ""
            if name in files and not os.path.islink(path) and os.path.isfile(path):
                kind, content = "file", "may not be read"
                if os.access(path, os.R_OK):
                    with open(path, "rb") as file:
                        content = hashlib.sha256(file.read()).hexdigest()
            when = info.st_mtime_ns if kind == "file" else 0
            found[os.path.relpath(path, folder)] = (kind, content, info.st_size if kind == "file" else 0, when, info.st_mode)
    return found


class Checks:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped, self.began = name, 0, 0, 0, time.monotonic()
        if not os.path.exists(PROGRAM):
            print(f"{name}: there is no program {PROGRAM}; build it, or set SHARDPROOF to its path")
            sys.exit(1)

    def that(self, holds, what, answer=None):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}" + (f"\n  {answer}" if answer is not None else ""), flush=True)
        return bool(holds)

    def skip(self, what, reason):
        self.skipped += 1
        print(f"{what} not run: {reason}", flush=True)

    def finish(self):
        print(f"({time.monotonic() - self.began:.1f} s)")
        print(f"{self.name}: {self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else ""))
        return 1 if self.failed or not self.passed else 0
