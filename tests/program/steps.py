#!/usr/bin/env python3
"""A run of many steps is as many runs of one step: the same losses, norms, rates and traffic, and the same bytes in the checkpoint.

    python3 tests/program/steps.py
    python3 tests/program/steps.py --device cuda         # there the many are captured and run again, and the single ones are queued
"""

import argparse
import json
import os
import shutil
import sys

from support import models
from support.program import Checks, run, scratch_folder

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cpu")
DEVICE = parser.parse_args().device

checks = Checks("steps")
scratch = scratch_folder()
STEPS = 5


def at(*names):
    return os.path.join(scratch, *names)


TEXT = at("text.txt")
with open(TEXT, "wb") as made:
    made.write(b"the quick brown fox jumps over the lazy dog, and then it does so once more. " * 20)
GPT2 = {"model_type": "gpt2", "n_embd": 24, "n_layer": 2, "n_head": 4, "n_inner": 32, "vocab_size": 256, "dtype": "float32"}
GPT2 |= {"embd_pdrop": 0, "resid_pdrop": 0, "attn_pdrop": 0, "tie_word_embeddings": True}
MODELS = {
    "llama": models.config("llama", vocab_size=260, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "mistral": models.config("mistral", vocab_size=259, sliding_window=5, dtype="bfloat16"),
    "qwen2": models.config("qwen2", vocab_size=257, tie_word_embeddings=True),
    "qwen3": models.config("qwen3", vocab_size=256, num_key_value_heads=4, head_dim=6),
    "gpt2": GPT2,
    "gpt2 that drops": GPT2 | {"resid_pdrop": 0.2},
    "experts": models.config("qwen3", vocab_size=256) | {"model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8},
}
DROPS, EXPERTS = "gpt2 that drops", "experts"
for name, config in MODELS.items():
    models.write_config(at(name), config)


def train(name, out, *more, device=DEVICE, steps=STEPS, good=True):
    options = ["--data", TEXT, "--batch", 2, "--seq", 8, "--lr", 3e-3, "--warmup", 3, "--device", device, "--steps", steps, "--json"]
    r = run("train", at(name), "--out", at(out), *options, *more)
    if good:
        checks.that(r.status == 0, f"{name} {' '.join(map(str, more))}: trains on {device}", r)
    return json.loads(r.out) if r.status == 0 else None


def lines(report, *keys):
    return [tuple(s[k] for k in keys) for s in report["steps"]]


WHOLE_LINE = ("step", "loss", "gradient_norm", "lr", "megabytes_communicated")


def files_of(folder):
    return {n: open(at(folder, n), "rb").read() for n in sorted(os.listdir(at(folder)))}


def one_case(name, *more):
    label = f"{name} {' '.join(map(str, more))}"
    many = train(name, "many", "--init", 5, *more)
    single = [train(name, "single", "--init", 5, *more, steps=1)] + [train(name, "single", "--resume", *more, steps=1) for _ in range(STEPS - 1)]
    if not many or not all(single):
        return
    travels = "--ep" in more and "masked" not in more and "--tp" in more
    checks.that(many["captured"] == (DEVICE == "cuda" and name != DROPS and not travels), f"{label}: the step is captured where it can be", many["captured"])
    checks.that(not any(s["captured"] for s in single), f"{label}: a single step is queued")
    each = [line for s in single for line in lines(s, *WHOLE_LINE)]
    checks.that(lines(many, *WHOLE_LINE) == each, f"{label}: losses, norms, rates and traffic of each step", f"{lines(many, *WHOLE_LINE)}\n  {each}")
    checks.that(
        [r["predicted_collectives"] for r in many["ranks"]] == [r["predicted_collectives"] for r in single[-1]["ranks"]],
        f"{label}: the last step is charged as every step",
    )
    a, b = files_of("many"), files_of("single")
    checks.that(a == b, f"{label}: the same bytes ({[n for n in a if a[n] != b.get(n)]} differ)")
    if DEVICE != "cpu":
        host = train(name, "host", "--init", 5, *more, device="cpu")
        far = max(abs(x[0] - y[0]) for x, y in zip(lines(many, "loss"), lines(host, "loss")))
        checks.that(far < 2e-5, f"{label}: the losses are those of the host (off by {far:.1e})")
        sent = [lines(r, "lr", "megabytes_communicated") for r in (many, host)]
        checks.that(sent[0] == sent[1], f"{label}: so are rates and traffic", sent)
    for folder in ("many", "single", "host"):
        shutil.rmtree(at(folder), ignore_errors=True)


def queued_ahead():
    """Steps whose line is not printed are not waited for, and are the same."""
    for more in ([], ["--tp", 2, "--schedule", "cosine"]):
        every = train("llama", "every", "--init", 5, *more)
        some = train("llama", "some", "--init", 5, "--log-every", 3, *more)
        checks.that(lines(some, *WHOLE_LINE) == [lines(every, *WHOLE_LINE)[i] for i in (2, 4)], f"{more}: lines that are printed are those of --log-every 1")
        checks.that(files_of("every") == files_of("some"), f"{more}: and the same is left")
        for folder in ("every", "some"):
            shutil.rmtree(at(folder))
    r = run("train", at("llama"), "--init", 5, "--out", at("never"), "--data", TEXT, "--seq", 8, "--device", DEVICE, "--lr", 1e30, "--steps", 9, "--log-every", 4)
    checks.that(r.status == 2 and r.code == 1 and "is not a number" in r.err, "a loss that is no number is told when it is read", r)


def main():
    try:
        for name in MODELS:
            one_case(name)
            one_case(name, "--tp", 2, "--accumulate", 3)
        for more in (["--tp", 4], ["--dp", 2], ["--dp", 3], ["--tp", 2, "--dp", 2], ["--tp", 2, "--sequence-parallel"], ["--clip", 0], ["--tp", 2, "--plan", "hf"]):
            one_case("llama", *more)
        one_case("mistral", "--tp", 2, "--dtype", "f64")
        for more in (["--ep"], ["--tp", 2, "--ep"], ["--tp", 2, "--ep", "--ep-engine", "masked"]):
            one_case(EXPERTS, *more)
        queued_ahead()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
