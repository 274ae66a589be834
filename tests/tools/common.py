"""What the checks share: the tree, the compilers found on this machine, and a cache of their answers.

A compiler's answer depends on its version, the flags, and the text of every file reachable by #include inside this tree; those
make the key of the cache, so that a second run compiles only what a change can have touched.
"""
import concurrent.futures
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(os.environ.get("SHARDPROOF_ROOT") or Path(__file__).resolve().parents[2])
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow"]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def cores():
    return len(os.sched_getaffinity(0))


def relative(path):
    """The path as a reader of this repository writes it."""
    return os.path.relpath(path, ROOT)


@functools.lru_cache(maxsize=None)
def system_includes():
    """Folders of packages outside the compilers' own search path, as -isystem flags (so that their warnings are theirs)."""
    folders = [f for f in ("/usr/include/eigen3", "/usr/local/include/eigen3") if os.path.isdir(f)][:1]
    folders += [f for f in (str(Path(p).parent.parent / "include") for p in [nvcc_path()] if p) if os.path.isdir(f)]
    mpi = shutil.which("mpicxx")
    if mpi:
        found = subprocess.run([mpi, "--showme:incdirs"], capture_output=True, text=True)
        folders += found.stdout.split() if found.returncode == 0 else []
    return [flag for f in folders for flag in ("-isystem", f)]


def nvcc_path():
    usual = "/usr/local/cuda/bin/nvcc"
    return shutil.which("nvcc") or (usual if os.access(usual, os.X_OK) else None)


class Compiler:
    """One compiler; `name` is what tables and `// compilers:` lines call it: g++-12, clang-19, clang-14, nvcc-13."""

    def __init__(self, family, path):
        self.family, self.path = family, path
        says = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        number = re.search(r"release (\d+)" if family == "nvcc" else r"(\d+)\.\d+\.\d+", says)
        self.name = f"{family}-{number.group(1) if number else '?'}"
        real = os.path.realpath(path)
        self.stamp = f"{says}{real}{os.stat(real).st_mtime_ns}"

    def command(self, file, *flags):
        """Checks `file` without leaving an object behind. Output paths stay relative, since it runs in the tree's root."""
        if self.family == "nvcc":
            return [self.path, "-std=c++20", "-x", "cu", "-Iinclude", *flags, "-c", "-o", "/dev/null", file]
        extra = ["-Wno-sign-conversion"] if self.family == "clang" else []
        return [self.path, "-std=c++20", "-fsyntax-only", *WARNINGS, *extra, "-Iinclude", *system_includes(), *flags, file]

    def matches(self, words):
        """True if `words` (of the command line or a `// compilers:` line) name it, fully or by family; no word names all."""
        return not words or any(self.name == w or self.family == w or self.name.split("-")[0] == w for w in words)


def compilers(only=()):
    """The compilers of this machine in the order of the tables, and a line for each that is missing."""
    found, missing = [], []
    for family, paths in (("g++", ["g++"]), ("clang", ["clang++-19"]), ("clang", ["clang++-14"]), ("nvcc", [nvcc_path()])):
        path = next((shutil.which(p) for p in paths if p and shutil.which(p)), None)
        if path:
            found.append(Compiler(family, path))
        elif family == "nvcc" or paths == ["clang++-19"]:            # clang 14 is a bonus, checked where it happens to be
            missing.append(f"not run: no {'nvcc' if family == 'nvcc' else paths[0]}")
    return [c for c in found if c.matches(only)], [m for m in missing if not only or any(w.split("-")[0] in m for w in only)]


def closure(file):
    """`file` and every file of this tree it can reach by #include, whatever the conditions around the lines."""
    seen, queue = {}, [Path(file).resolve()]
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen[path] = text = path.read_text(errors="replace")
        for quote, name in INCLUDE.findall(text):
            places = [path.parent / name] if quote == '"' else []
            for place in places + [ROOT / "include" / name, ROOT / name]:
                if place.is_file():
                    queue.append(place.resolve())
                    break
    return seen


class Answer:
    """What a compiler said: exit status, text (stdout and stderr together), seconds, and whether it came from the cache."""

    def __init__(self, status, text, seconds, cached=False):
        self.status, self.text, self.seconds, self.cached = status, text, seconds, cached


class Cache:
    """Answers by key, one small file each; `folder` None turns it off."""

    def __init__(self, folder):
        self.folder = Path(folder) if folder else None
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.texts = {}

    def digest(self, file):
        """One hash for a file and all it reaches, computed once a run."""
        if file not in self.texts:
            h = hashlib.sha256()
            for path, text in sorted(closure(ROOT / file).items()):
                h.update(f"{relative(path)}\0{text}\0".encode())
            self.texts[file] = h.hexdigest()
        return self.texts[file]

    def ask(self, compiler, file, *flags, timeout=300):
        command = compiler.command(file, *flags)
        place = None
        if self.folder:
            key = hashlib.sha256("\0".join([compiler.stamp, self.digest(file), *command]).encode()).hexdigest()
            place = self.folder / key
            if place.is_file():
                kept = json.loads(place.read_text())
                return Answer(kept["status"], kept["text"], kept["seconds"], True)
        answer = ask(command, timeout)
        if place and answer.status != 124:
            with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False) as out:
                json.dump({"status": answer.status, "text": answer.text, "seconds": answer.seconds}, out)
            os.replace(out.name, place)
        return answer


def ask(command, timeout=300, cwd=None, env=None):
    """Runs a command in the root of the tree; status 124 if it ran past `timeout` seconds."""
    began = time.monotonic()
    with subprocess.Popen(command, cwd=cwd or ROOT, env={**os.environ, "LC_ALL": "C", **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as p:
        try:
            text = p.communicate(timeout=timeout)[0]
            status = p.returncode
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)                                      # the compiler's own children too
            text, status = p.communicate()[0] + f"\nstopped after {timeout} s", 124
    return Answer(status, text, time.monotonic() - began)


def default_cache():
    return str(ROOT / "build" / "check-cache")


def in_parallel(jobs, work, workers=None):
    """Yields work(job) in the order of `jobs`."""
    with concurrent.futures.ThreadPoolExecutor(workers or min(2, cores())) as pool:
        yield from pool.map(work, jobs)


def sources(pattern):
    """Files below the root that match, sorted, as relative paths."""
    return sorted(relative(p) for p in glob.glob(str(ROOT / pattern), recursive=True))


def closing(name, passed, failed, skipped=0, note=""):
    """The last line of a check, in the form tests/tools/summary.py adds up; returns the exit status."""
    extra = (f", {skipped} skipped" if skipped else "") + (f"  ({note})" if note else "")
    print(f"{name}: {passed} passed, {failed} failed{extra}")
    return 1 if failed else 0


def common_options(parser):
    parser.add_argument("--compilers", nargs="*", default=[], metavar="NAME", help="only these: g++ clang-19 clang-14 nvcc")
    parser.add_argument("--cache", default=default_cache(), help="folder of earlier answers")
    parser.add_argument("--no-cache", dest="cache", action="store_const", const=None)
    parser.add_argument("--jobs", type=int, default=min(2, cores()))


if __name__ == "__main__":
    sys.exit("common.py is a module of the checks beside it")
