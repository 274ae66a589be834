#!/usr/bin/env python3
"""The program's contract: help, one JSON document, where lines go, and a plan that is explained can be used.

python3 tests/program/contract.py
"""

import array
import json
import math
import os
import pty
import re
import select
import shutil
import subprocess
import sys

from support import models, tensors
from support.program import PROGRAM, Checks, run, scratch_folder

checks = Checks("contract")
scratch = scratch_folder()
VERBS = ("run", "generate", "train", "diff", "check", "explain")


def at(*names):
    return os.path.join(scratch, *names)


FAMILIES = {
    "llama": models.config("llama", vocab_size=260),
    "qwen2": models.config("qwen2", vocab_size=261, tie_word_embeddings=True),
    "qwen3": models.config("qwen3", vocab_size=262),
    "mistral": models.config("mistral", vocab_size=263, sliding_window=4),
}
for family, made in FAMILIES.items():
    models.write(at(family), made)
GOOD, IDS, OUT, TEXT, PLAN = at("llama"), at("in.safetensors"), at("out.safetensors"), at("text.txt"), at("plan.json")
models.write_input(IDS, FAMILIES["llama"])
with open(TEXT, "wb") as file:
    file.write(bytes(range(32, 127)) * 20)
with open(PLAN, "w") as file:
    json.dump({"layers.*.mlp.up_proj": "colwise", "layers.*.mlp.gate_proj": "colwise", "layers.*.mlp.down_proj": "rowwise"}, file)
TRAIN = ["train", GOOD, "--data", TEXT, "--out", at("trained"), "--steps", "3", "--batch", "1", "--seq", "8"]


def help_is_there():
    for arguments in ([], *[[v] for v in VERBS]):
        r = run(*arguments, "--help")
        checks.that(r.status == 0 and r.err == "" and len(r.out) > 200, f"{' '.join(arguments)} --help", r)
        checks.that(all(len(line) <= 200 for line in r.out.splitlines()), f"{' '.join(arguments)} --help fits a screen")
    top = run("--help").out
    checks.that(all(v in top for v in VERBS), "the program's help names every verb")
    common = {"--tp", "--plan", "--engine", "--device", "--dtype", "--json", "--ep", "--ep-engine", "--sequence-parallel"}
    wanted = {
        "run": {"--input", "--output", "--grad", "--stats"} | common,
        "generate": {"--tokens", "--new"} | common,
        "train": {"--data", "--out", "--steps", "--batch", "--seq", "--lr", "--accumulate", "--resume", "--init"} | common,
        "diff": {"--rtol", "--atol", "--json"},
        "check": {"--model", "--tp", "--json", "--strict"},
        "explain": common,
    }
    for verb, options in wanted.items():
        text = run(verb, "--help").out
        checks.that(
            all(o in text for o in options),
            f"{verb} --help names its options, {sorted(o for o in options if o not in text)} are missing",
        )
    r = run("--version")
    checks.that(r.status == 0 and re.fullmatch(r"shardproof \d+\.\d+\.\d+\n", r.out), "--version", r)


def document(label, *arguments, status=0):
    """The whole of standard output is one document; None if it is not."""
    r = run(*arguments, "--json")
    try:
        value = json.loads(r.out, parse_constant=lambda word: (_ for _ in ()).throw(ValueError(word)))
        good = r.out.endswith("\n") and isinstance(value, dict)
    except ValueError:
        value, good = None, False
    checks.that(r.status == status and good, f"{label} --json is one JSON object on standard output, exit {status}", r)
    return value if good else {}


def json_of_every_verb():
    d = document("run", "run", GOOD, "--input", IDS, "--output", OUT, "--tp", "2", "--grad")
    checks.that(
        {"output", "tp", "loss", "ranks"} <= d.keys() and len(d["ranks"]) == 2, "run --json tells output, loss and ranks", d
    )
    d = document("generate", "generate", GOOD, "--tokens", "1,2,3", "--new", "4", "--tp", "3")
    checks.that(len(d.get("tokens", [])) == 4, "generate --json has the tokens", d)
    plain = run("generate", GOOD, "--tokens", "1,2,3", "--new", "4", "--tp", "3")
    checks.that(plain.out == ",".join(map(str, d["tokens"])) + "\n", "and they are those of the plain answer", plain)
    checks.that(
        re.search(r"prefill 3 tokens, [\d.]+ tok/s; decode \d+ tokens, [\d.]+ tok/s", plain.err),
        "which tells tok/s on standard error",
        plain,
    )
    d = document("train", *TRAIN, "--tp", "2")
    keys = {"step", "loss", "gradient_norm", "lr", "ms", "tokens_per_second", "megabytes_communicated"}
    checks.that(
        [s["step"] for s in d["steps"]] == [1, 2, 3] and all(keys <= s.keys() for s in d["steps"]),
        "train --json has every step",
        d,
    )
    shutil.rmtree(at("trained"))
    d = document("diff", "diff", IDS, IDS)
    checks.that(d.get("equal") is True and d["differences"] == [], "diff --json of equals", d)
    changed = tensors.read(os.path.join(GOOD, "model.safetensors"))
    changed["lm_head.weight"].values[7] += 0.5
    changed["model.norm.weight"].values[0] = float("nan")
    models.write_config(at("changed"), FAMILIES["llama"])
    tensors.write(at("changed", "model.safetensors"), changed)
    d = document("diff", "diff", GOOD, at("changed"), status=1)
    checks.that(
        d.get("equal") is False and {x["name"] for x in d["differences"]} == {"lm_head.weight", "model.norm.weight"},
        "diff --json of others",
        d,
    )
    r = run("diff", GOOD, at("changed"), "--atol", "0.6")
    checks.that(
        r.status == 1 and "model.norm.weight" in r.out and "lm_head" not in r.out,
        "a number against no number is out of any tolerance",
        r,
    )
    tensors.write(at("finite.safetensors"), {"x": tensors.Tensor("F32", [2], array.array("f", [1.0, 2.0]))})
    tensors.write(at("infinite.safetensors"), {"x": tensors.Tensor("F32", [2], array.array("f", [1.0, math.inf]))})
    r = run("diff", at("finite.safetensors"), at("infinite.safetensors"), "--rtol", "1")
    checks.that(r.status == 1 and "x" in r.out, "infinity is out of any tolerance", r)
    r = run("diff", at("infinite.safetensors"), at("infinite.safetensors"))
    checks.that(r.status == 0, "infinity equals itself", r)
    tensors.write(at("large.safetensors"), {"x": tensors.Tensor("I64", [1], array.array("q", [2**62]))})
    tensors.write(at("larger.safetensors"), {"x": tensors.Tensor("I64", [1], array.array("q", [2**62 + 1]))})
    r = run("diff", at("large.safetensors"), at("larger.safetensors"))
    checks.that(r.status == 1, "whole numbers beyond 2^53 are compared as such", r)
    r = run("run", os.path.abspath(GOOD), "--input", os.path.abspath(IDS), "--output", "o.st", "--stats", "./o.st", cwd=at("."))
    checks.that(r.status == 2 and r.code == 1 and not os.path.exists(at("o.st")), "two outputs of one name are refused", r)
    d = document("check", "check", PLAN)
    checks.that(d.get("clean") is True and d["rules"] == 3, "check --json", d)
    d = document("check of a bad plan", "check", bad_plan(), "--model", GOOD, "--tp", "2", status=1)
    checks.that(
        d.get("clean") is False and {f["code"] for f in d["findings"]} >= {"SP205", "SP202"},
        "check --json lists findings by code",
        d,
    )
    d = document("explain", "explain", GOOD, "--tp", "2")
    checks.that({"plan", "parameters", "layers", "memory_bytes_of_rank_0"} <= d.keys(), "explain --json", d.keys())
    for verb in (
        ["run", at("nowhere"), "--input", IDS, "--output", OUT],
        ["explain", at("nowhere")],
        ["check", at("nowhere")],
        ["diff", at("nowhere"), IDS],
        ["generate", GOOD, "--tokens", "x"],
        [*TRAIN, "--steps", "0"],
    ):
        r = run(*verb, "--json")
        checks.that(r.status == 2 and r.out == "" and r.code is not None, f"{verb[0]} --json refuses on standard error", r)
    # Odd names stay JSON.
    odd = at('a "b"\\\tc\u00e9\u2028.safetensors')
    d = document("run with an odd name", "run", GOOD, "--input", IDS, "--output", odd)
    checks.that(d.get("output") == odd, "an odd name comes back whole", d)


def bad_plan():
    path = at("bad_plan.json")
    with open(path, "w") as bad:
        json.dump({"layers.*.mlp.up_proj": "colwize", "layers.*.mlp.gate_projj": "colwise"}, bad)
    return path


def explained_plans_are_plans():
    """What `explain` prints as the plan gives the same model, the same sizes and the same logits when it is given back."""
    for name, config in FAMILIES.items():
        given = at("given.safetensors")
        models.write_input(given, config)
        for plan in ("auto", "hf", "none"):
            told = document(f"explain {name} {plan}", "explain", at(name), "--tp", "2", "--plan", plan)
            whole, inner = at("told.json"), at("inner.json")
            with open(whole, "w") as out:
                json.dump(told, out)
            with open(inner, "w") as out:
                json.dump(told["plan"], out)
            answers = {}
            for p in (plan, whole, inner):
                r = run("run", at(name), "--tp", "2", "--plan", p, "--input", given, "--output", OUT, "--grad")
                if checks.that(r.status == 0, f"{name}: the plan of `explain --plan {plan}` is accepted", r):
                    answers[p] = tensors.read(OUT)
            first = answers.get(plan)
            for p, other in answers.items():
                far = max(tensors.distance(other[k].values, first[k].values) for k in first)
                checks.that(
                    other.keys() == first.keys() and far <= 1e-6,
                    f"{name}, {plan}: logits and gradients are the same (off by {far:.1e})",
                )
            again = document(f"explain {name} with its own plan", "explain", at(name), "--tp", "2", "--plan", whole)
            checks.that(
                again.get("parameters") == told["parameters"] and sent(again) == sent(told),
                f"{name}, {plan}: sizes, placements and collectives are the same",
            )
            r = run("check", whole, "--model", at(name), "--tp", "2")
            checks.that(r.status == 0, f"{name}, {plan}: check finds nothing", r)
        text = run("explain", at(name), "--tp", "2")
        checks.that(
            text.status == 0 and "lm_head" in text.out and "all_reduce" in text.out and "MiB" in text.out,
            f"{name}: explain as text",
            text,
        )


def sent(told):
    """{layer without its number, operation, direction: calls and bytes}: a plan of types has one entry for a stack of layers."""
    out = {}
    for layer in told.get("layers", []):
        for c in layer["collectives"]:
            key = re.sub(r"\.\d+\.", ".*.", layer["layer"]), c["operation"], c["direction"]
            calls, volume = out.get(key, (0, 0))
            out[key] = calls + c["calls"], volume + c["bytes"]
    return out


def on_terminal(*arguments):
    """(what standard error, a terminal, got; what standard output, a pipe, got)."""
    master, slave = pty.openpty()
    started = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        ready, _, _ = select.select([master], [], [], 60)
        if not ready:
            break
        try:
            piece = os.read(master, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    out = started.stdout.read()
    started.stdout.close()
    started.wait(timeout=60)
    os.close(master)
    return shown.decode(), out.decode()


def progress_needs_a_terminal():
    try:
        for end in pty.openpty():
            os.close(end)
    except OSError as e:
        return checks.skip("the progress line on a terminal", f"this system gives none: {e}")
    options = ["--log-every", "3", "--tp", "2"]
    shown, out = on_terminal(*TRAIN, *options)
    checks.that("\r" in shown and "1/3" in shown, "a terminal on standard error gets a progress line", repr(shown))
    checks.that("\r" not in out and out.count("step ") == 1, "standard output gets whole lines only", repr(out))
    checks.that(shown.count("1/3") == 1, "from one rank", repr(shown))
    shutil.rmtree(at("trained"))
    r = run(*TRAIN, *options)
    checks.that(r.err == "" and "\r" not in r.out, "without a terminal there is none", r)
    shutil.rmtree(at("trained"))
    shown, out = on_terminal(*TRAIN, *options, "--lr", "1e30")
    checks.that(
        shown.splitlines()[-1].rsplit("\x1b[K", 1)[-1].startswith("shardproof[SP001]"),
        "a refusal takes the place of the progress line",
        repr(shown),
    )
    shown, out = on_terminal(*TRAIN, *options, "--json")
    checks.that("\r\x1b" not in shown and json.loads(out), "nor with --json", repr(shown))
    shutil.rmtree(at("trained"))


def plan_notes():
    r = run("explain", GOOD, "--tp", "2", "--plan", "hf")
    notes = [line for line in r.err.splitlines() if line.startswith("note: ")]
    checks.that(
        r.status == 0 and notes and r.err.splitlines() == notes, "the repairs of an imported plan are noted on standard error", r
    )
    r = run("explain", at("qwen2"), "--tp", "2", "--plan", "hf")
    checks.that("embed_tokens" in r.err and "tied" in r.err, "so is what a tied head asks for", r)
    r = run("explain", GOOD, "--tp", "2")
    checks.that(r.err == "", "the library's own plan needs none", r)
    models.write_config(at("extra"), FAMILIES["llama"])
    tensors.write(
        at("extra", "model.safetensors"),
        {
            **tensors.read(os.path.join(GOOD, "model.safetensors")),
            "model.layers.0.self_attn.q_proj.bias": tensors.floats([48], [1.0] * 48),
        },
    )
    r = run("generate", at("extra"), "--tokens", "1", "--new", "1", "--tp", "2")
    checks.that(
        r.status == 0 and r.err.count("note: ") == 1 and "q_proj.bias" in r.err, "a tensor that has no place is noted once", r
    )


def results():
    """Names, types and shapes of what `run` writes; the input may hold more than it needs."""
    config = FAMILIES["llama"]
    r = run("run", GOOD, "--input", IDS, "--output", OUT, "--grad")
    checks.that(r.status == 0 and re.fullmatch(r"loss \d+\.\d+\n", r.out), "run prints the loss", r)
    out = tensors.read(OUT)
    wanted = {"logits": [2, 9, 260], "loss": [], **{"grad." + n: s for n, s in models.shapes(config).items()}}
    checks.that(
        {n: t.shape for n, t in out.items()} == wanted and all(t.dtype == "F32" for t in out.values()),
        "logits, loss and a gradient for every parameter, F32, whole",
    )
    more = {**tensors.read(IDS), "logits": out["logits"]}
    tensors.write(at("more.safetensors"), more)
    r = run("run", GOOD, "--input", at("more.safetensors"), "--output", OUT)
    checks.that(
        r.status == 0 and set(tensors.read(OUT)) == {"logits", "loss"}, "tensors of the input that say nothing are passed over", r
    )
    models.write_input(at("bare.safetensors"), config, labels=False)
    r = run("run", GOOD, "--input", at("bare.safetensors"), "--output", OUT)
    checks.that(r.status == 0 and r.out == "" and set(tensors.read(OUT)) == {"logits"}, "without labels logits alone", r)
    for dtype, bound in (("f64", 1e-5), ("bf16", 0.2)):
        r = run("run", GOOD, "--input", IDS, "--output", OUT, "--dtype", dtype)
        far = tensors.distance(tensors.read(OUT)["logits"].values, out["logits"].values)
        checks.that(
            r.status == 0 and 0 < far < bound, f"--dtype {dtype} gives the same logits within {bound}, off by {far:.1e}", r
        )
    r = run("generate", GOOD, "--tokens", "1", "--new", "0")
    checks.that(r.status == 0 and r.out == "\n", "no new tokens are an empty line", r)
    # An end-of-sequence token ends generation, wherever it is written down.
    first = run("generate", GOOD, "--tokens", "1,2,3", "--new", "6").out.strip().split(",")
    stop = int(first[2])
    upto = first[: first.index(str(stop)) + 1]
    for what, file_name, value in (
        ("config.json", "config.json", dict(config, eos_token_id=stop)),
        ("a list of them", "config.json", dict(config, eos_token_id=[stop, 1000])),
        ("generation_config.json", "generation_config.json", {"eos_token_id": [stop]}),
    ):
        shutil.rmtree(at("ends"), ignore_errors=True)
        shutil.copytree(GOOD, at("ends"))
        with open(at("ends", file_name), "w") as ends:
            json.dump(value, ends)
        r = run("generate", at("ends"), "--tokens", "1,2,3", "--new", "6", "--tp", "2")
        checks.that(r.out.strip().split(",") == upto, f"generation ends behind the end token of {what}", r)
    r = run("generate", at("ends"), "--tokens", "1,2,3", "--new", "6", "--ignore-eos")
    checks.that(r.out.strip().split(",") == first, "--ignore-eos goes on", r)


def main():
    try:
        for part in (
            help_is_there,
            json_of_every_verb,
            explained_plans_are_plans,
            progress_needs_a_terminal,
            plan_notes,
            results,
        ):
            part()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
