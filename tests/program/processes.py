#!/usr/bin/env python3
"""Ranks as processes (--engine nccl) do what ranks as threads do: the same files and lines, from the first rank alone; one refusal ends all.

    python3 tests/program/processes.py                                   # the refusal of a program or a device without the engine
    python3 tests/program/processes.py --device cuda --ranks 1,2,4       # on the emulator, whose ranks exchange files
    python3 tests/program/processes.py --device cuda --ranks 1,2,4 --atol 1e-4       # with a GPU each: NCCL adds in another order
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from support import models, tensors
from support.program import PROGRAM, Answer, Checks, run, scratch_folder

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cpu")
parser.add_argument("--ranks", default=[], type=lambda text: [int(n) for n in text.split(",")])
parser.add_argument("--atol", default=0.0, type=float)
options = parser.parse_args()

checks = Checks("processes")
scratch = scratch_folder()


def at(*names):
    return os.path.join(scratch, *names)


CONFIG = models.config("llama", vocab_size=260, num_key_value_heads=2)
models.write(at("model"), CONFIG)
models.write_input(at("in.safetensors"), CONFIG)
EXPERTS = {"model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
models.write_config(at("experts"), models.config("qwen3", vocab_size=256) | EXPERTS)
with open(at("text.txt"), "wb") as made:
    made.write(b"the quick brown fox jumps over the lazy dog, and then it does so once more. " * 20)
RUN = ["run", at("model"), "--input", at("in.safetensors"), "--grad"]
GENERATE = ["generate", at("model"), "--tokens", "1,2,3", "--new", 6]
TRAIN = ["train", at("model"), "--data", at("text.txt"), "--batch", 2, "--seq", 8, "--accumulate", 2, "--json"]
ENGINE = ["--engine", "nccl", "--device", options.device]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def torchrun(rank, size, port):
    return {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def mpirun(rank, size, port):
    names = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size}
    return {"OMPI_COMM_WORLD_" + name: value for name, value in names.items()} | {"SHARDPROOF_NCCL_PORT": port}


def srun(rank, size, port):
    return {"SLURM_PROCID": rank, "SLURM_NTASKS": size, "SLURM_LOCALID": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def by_file(rank, size, port):
    return srun(rank, size, port) | {"SHARDPROOF_NCCL_ID_FILE": at("id"), "SHARDPROOF_NCCL_TOKEN": port}


def start(size, arguments, launcher=torchrun, change=lambda rank, variables: None):
    """A process for each rank, its output in files."""
    port, folder = free_port(), tempfile.mkdtemp(dir=scratch)
    all_ranks = []
    for rank in range(size):
        variables = launcher(rank, size, port)
        change(rank, variables)
        environment = {**os.environ, "SHARDPROOF_EMULATED_NCCL": folder} | {k: str(v) for k, v in variables.items()}
        out, err = (open(os.path.join(folder, f"{name}{rank}.txt"), "w+") for name in ("out", "err"))
        words = [str(a) for a in arguments]
        process = subprocess.Popen([PROGRAM, *words], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        all_ranks.append((process, words, out, err))
    return all_ranks


def finish(started, limit=120):
    answers, end = [], time.monotonic() + limit
    for process, words, out, err in started:
        try:
            process.wait(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        answers.append(Answer(words, process.returncode, *texts))
    return answers


def together(size, *arguments, **how):
    return finish(start(size, arguments, **how))


def quiet(label, answers):
    """All succeed, and only the first rank says something."""
    for rank, a in enumerate(answers):
        checks.that(a.status == 0, f"{label}: rank {rank} of {len(answers)} succeeds", a)
        if rank:
            checks.that(a.out == "" and a.err == "", f"{label}: rank {rank} says nothing", a)
    return all(a.status == 0 for a in answers)


def same_files(label, a, b):
    if options.atol == 0:
        files = [{n: open(at(f, n), "rb").read() for n in sorted(os.listdir(at(f)))} for f in (a, b)]
        return checks.that(files[0] == files[1], f"{label}: the same files, byte for byte, and no others ({[sorted(f) for f in files]})")
    r = run("diff", at(a), at(b), "--atol", options.atol)
    return checks.that(r.status == 0, f"{label}: the same tensors within {options.atol}", r)


def counted(stats):
    return [{k: v for k, v in rank.items() if k not in ("seconds", "collective_seconds", "peak_bytes")} for rank in stats]


def as_threads(size):
    meshes = [["--tp", size]] + ([["--tp", size // 2, "--dp", 2]] if size % 2 == 0 else [])
    for mesh in meshes:
        label = f"{size} ranks, {' '.join(map(str, mesh))}"
        for folder, engine in (("threads", ["--device", options.device]), ("processes", ENGINE)):
            os.mkdir(at(folder))
            files = ["--output", at(folder, "out.safetensors"), "--stats", at("stats_" + folder)]
            if engine == ENGINE:
                quiet(f"run, {label}", together(size, *RUN, *mesh, *files, *ENGINE))
            else:
                run(*RUN, *mesh, *files, *engine)
        same_files(f"run, {label}", "threads", "processes")
        stats = [json.load(open(at("stats_" + folder))) for folder in ("threads", "processes")]
        checks.that([r["rank"] for r in stats[1]] == list(range(size)) and counted(stats[0]) == counted(stats[1]), f"run, {label}: --stats has every rank's figures", stats)
        for folder in ("threads", "processes"):
            shutil.rmtree(at(folder), ignore_errors=True)

        whole = run(*TRAIN, "--steps", 4, "--init", 3, "--out", at("threads"), *mesh, "--device", options.device)
        answers = together(size, *TRAIN, "--steps", 4, "--init", 3, "--out", at("processes"), *mesh, *ENGINE)
        if quiet(f"train, {label}", answers):
            a, b = json.loads(whole.out), json.loads(answers[0].out)
            checks.that(b["captured"] == (options.device == "cuda"), f"train, {label}: the step is captured")
            far = max(abs(x[k] - y[k]) for x, y in zip(a["steps"], b["steps"]) for k in ("loss", "gradient_norm", "megabytes_communicated"))
            checks.that(far <= options.atol and len(a["steps"]) == len(b["steps"]) == 4, f"train, {label}: losses and norms are those of threads", far)
            checks.that(counted(a["ranks"]) == counted(b["ranks"]), f"train, {label}: so are the figures of all ranks")
            same_files(f"train, {label}", "threads", "processes")
        run(*TRAIN, "--steps", 2, "--resume", "--out", at("threads"), *mesh, "--device", options.device)
        if quiet(f"resumed, {label}", together(size, *TRAIN, "--steps", 2, "--resume", "--out", at("processes"), *mesh, *ENGINE)):
            same_files(f"resumed, {label}", "threads", "processes")
        for folder in ("threads", "processes"):
            shutil.rmtree(at(folder), ignore_errors=True)

    # Tokens travel to experts on other ranks.
    dealt = ["train", at("experts"), "--init", 3, "--ep", "--tp", size, *TRAIN[2:], "--steps", 3]
    run(*dealt, "--out", at("threads"), "--device", options.device)
    if quiet(f"experts, {size} ranks", together(size, *dealt, "--out", at("processes"), *ENGINE)):
        same_files(f"experts, {size} ranks", "threads", "processes")
    for folder in ("threads", "processes"):
        shutil.rmtree(at(folder), ignore_errors=True)

    threads = run(*GENERATE, "--tp", size, "--device", options.device)
    for launcher in (torchrun, mpirun, srun, by_file):
        answers = together(size, *GENERATE, "--tp", size, *ENGINE, launcher=launcher)
        if quiet(f"generate by {launcher.__name__}", answers):
            checks.that(answers[0].out == threads.out, f"generate by {launcher.__name__}: {size} ranks print {threads.out.strip()}", answers[0])


def refused(label, answers, *codes):
    """`codes`: those that a rank may give, behind lines about steps."""
    for rank, a in enumerate(answers):
        a.err = "".join(line for line in a.err.splitlines(keepends=True) if not line.startswith("step "))
        checks.that(a.status == 2 and a.code in codes and a.out == "", f"{label}: rank {rank} is refused with one of SP{codes}, in one line", a)


def refusals(size):
    began = time.monotonic()
    out = ["--output", at("never")]
    refused("no such folder", together(size, "generate", at("nowhere"), "--tokens", 1, "--tp", size, *ENGINE), 608, 502)
    # Only the first rank writes: it says what is wrong, and the others what it said.
    for label, verb in (
        ("an output that cannot be written", [*RUN, "--output", at("nowhere", "out")]),
        ("figures that cannot be written", [*GENERATE, "--stats", at("nowhere", "out")]),
        ("a folder that holds a checkpoint", [*TRAIN, "--init", 1, "--out", at("model")]),
    ):
        answers = together(size, *verb, "--tp", size, *ENGINE)
        refused(label, answers[:1], 608)
        refused(label, answers[1:], 502)
        checks.that(all("rank 0 was lost (it threw: shardproof[SP608]" in a.err for a in answers[1:]), f"{label}: others repeat it", answers[1])
    answers = together(size, *TRAIN, "--tp", size, "--init", 1, "--lr", 1e30, "--out", at("never"), *ENGINE)
    refused("a training that diverges", answers, 1, 502)
    refused("more ranks than --tp", together(size, *RUN, *out, "--tp", size - 1, *ENGINE), 503)
    refused("fewer ranks than --tp and --dp", together(size, *RUN, *out, "--tp", size, "--dp", 2, *ENGINE), 503)
    refused("no launcher", [run(*RUN, *out, "--tp", size, *ENGINE)], 503)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        answers = together(size, *RUN, *out, "--tp", size, *ENGINE, change=lambda rank, variables: variables.pop(name))
        refused(f"no {name}", answers, 503)
        checks.that(all(f"{name} is not set" in a.err for a in answers), f"no {name}: it is named", answers[0])
    answers = together(size, *RUN, *out, "--tp", size, *ENGINE, change=lambda rank, variables: variables.update(WORLD_SIZE="many"))
    refused("a world size of many", answers, 503)
    refused("a device without GPUs", together(size, *RUN, *out, "--tp", size, "--engine", "nccl"), 606)
    checks.that(time.monotonic() - began < 60, "nobody waits for one that was refused")
    checks.that(not os.path.exists(at("never")), "nothing is left of all that")

    # A rank that is killed in the middle ends the others, and the folder is as it was.
    started = start(size, [*TRAIN, "--tp", size, "--init", 1, "--steps", 100000, "--out", at("never"), *ENGINE])
    first_words, end = started[0][3].name, time.monotonic() + 60
    while "step 3" not in open(first_words).read() and time.monotonic() < end:
        time.sleep(0.05)
    started[-1][0].send_signal(signal.SIGKILL)
    answers = finish(started, 30)
    refused("a rank that is killed", answers[:-1], 502)
    checks.that(all(f"rank {size - 1} was lost (its process ended)" in a.err for a in answers[:-1]), "the one that was killed is named", answers[0])
    checks.that(not os.path.exists(at("never")), "and no checkpoint is left")


def without_the_engine():
    for verb in ([*RUN, "--output", at("never")], GENERATE, [*TRAIN, "--init", 1, "--out", at("never")]):
        r = run(*verb, "--engine", "nccl")
        checks.that(r.status == 2 and r.code == 606 and "--engine nccl" in r.err, f"{verb[0]} --engine nccl on the CPU is refused", r)
    checks.that(not os.path.exists(at("never")), "nothing is written")


def main():
    try:
        without_the_engine()
        for size in options.ranks:
            as_threads(size)
            if size > 1:
                refusals(size)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
