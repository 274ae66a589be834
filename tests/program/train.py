#!/usr/bin/env python3
"""What training writes is what running reads, at any number of ranks; and the figures of a rank are the predicted ones.

python3 tests/program/train.py
"""

import json
import math
import os
import re
import shutil
import sys

from support import models, tensors
from support.program import Checks, run, scratch_folder

checks = Checks("train")
scratch = scratch_folder()


def at(*names):
    return os.path.join(scratch, *names)


TEXT = at("text.txt")
with open(TEXT, "wb") as made:
    made.write(b"the quick brown fox jumps over the lazy dog, and then it does so once more. " * 60)
OPTIONS = ["--data", TEXT, "--batch", 2, "--seq", 16, "--accumulate", 2, "--lr", 3e-3]
VARIANTS = {
    "llama": models.config("llama", vocab_size=260, attention_bias=True, mlp_bias=True),
    "qwen2": models.config("qwen2", vocab_size=257, tie_word_embeddings=True),
    "qwen3": models.config("qwen3", vocab_size=256, num_key_value_heads=4, head_dim=6),
    "mistral": models.config("mistral", vocab_size=259, sliding_window=5, dtype="bfloat16"),
}


def fresh(name, config):
    models.write_config(at(name), config)
    return at(name)


def train(folder, out, *more, tp=2, steps=6, good=True):
    r = run("train", folder, "--out", out, "--tp", tp, "--steps", steps, "--json", *OPTIONS, *more)
    if good:
        checks.that(r.status == 0, f"training of {os.path.basename(folder)} at tp {tp} succeeds", r)
    return json.loads(r.out) if r.status == 0 else None


def losses(report):
    return [(s["step"], s["loss"], s["gradient_norm"], s["lr"]) for s in report["steps"]] if report else None


def files_of(folder):
    return {n: open(os.path.join(folder, n), "rb").read() for n in sorted(os.listdir(folder))}


def logits(folder, given, tp, *more):
    out = at("out.safetensors")
    r = run("run", folder, "--tp", tp, "--input", given, "--output", out, *more)
    checks.that(r.status == 0, f"{os.path.basename(folder)} runs at tp {tp}", r)
    return tensors.read(out) if r.status == 0 else None


def saved_and_reloaded():
    """Trained at two ranks, the same logits and losses at one, three and four."""
    for name, config in VARIANTS.items():
        out = at(name + "_trained")
        report = train(fresh(name, config), out, "--init", 3, steps=12)
        series = [s["loss"] for s in report["steps"]]
        checks.that(series[-1] < series[0] - 0.3, f"{name}: the loss falls ({series[0]:.3f} to {series[-1]:.3f})")
        checks.that(
            all(math.isfinite(s["gradient_norm"]) and s["gradient_norm"] > 0 for s in report["steps"]),
            f"{name}: gradient norms are numbers",
        )
        with open(os.path.join(out, "config.json")) as file:
            saved = json.load(file)
        checks.that({k: v for k, v in saved.items()} == config, f"{name}: config.json is what it was")
        weights = tensors.read(os.path.join(out, "model.safetensors"))
        wanted = models.shapes(config)
        stored = "BF16" if config["dtype"] == "bfloat16" else "F32"
        checks.that(
            {k: (t.shape, t.dtype) for k, t in weights.items()} == {k: (s, stored) for k, s in wanted.items()},
            f"{name}: every tensor is saved under its name, shape and type",
        )
        given = at("in.safetensors")
        models.write_input(given, config, rows=2, length=13)
        results = {}
        for tp in (2, 1, 3, 4):
            if config["num_key_value_heads"] % tp and tp % config["num_key_value_heads"]:
                continue
            results[tp] = logits(out, given, tp)
        base = results[2]
        for tp, r in results.items():
            far = tensors.distance(r["logits"].values, base["logits"].values)
            checks.that(far <= 1e-4, f"{name}: logits at tp {tp} are those at tp 2 (off by {far:.1e})")
            checks.that(abs(r["loss"].values[0] - base["loss"].values[0]) <= 1e-5, f"{name}: the loss at tp {tp} is that at tp 2")
        checks.that(len(results) >= 3, f"{name}: {sorted(results)} ranks can share it")
        counted = models.plain_loss(base["logits"], tensors.read(given)["labels"])
        checks.that(abs(counted - base["loss"].values[0]) <= 1e-5, f"{name}: the loss is the mean cross-entropy of its logits")


def dropped():
    """Which elements are dropped follows from the seed, the step and their place: no number of ranks changes it, nor does a pause."""
    rates = {"gpt2": {"embd_pdrop": 0.1, "resid_pdrop": 0.2, "attn_pdrop": 0}, "phi": {"resid_pdrop": 0.3, "embd_pdrop": 0.1}}
    sizes = {"vocab_size": 256, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    gpt2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_inner": 32, "vocab_size": 256, "tie_word_embeddings": True}
    for family, rate in rates.items():
        config = dict(gpt2 if family == "gpt2" else sizes, model_type=family, dtype="float32", **rate)
        folder = fresh(family, config)
        one = losses(train(folder, at("dropped_one"), "--init", 5, tp=1, steps=4))
        still = fresh(family + "_still", config | {name: 0 for name in rate})
        none = losses(train(still, at("dropped_none"), "--init", 5, tp=1, steps=4))
        checks.that(abs(one[0][1] - none[0][1]) > 1e-4, f"{family}: something is dropped")
        for tp, more in ((2, []), (4, []), (2, ["--dp", 2]), (2, ["--sequence-parallel"]), (1, ["--dp", 3]), (4, ["--dp", 2, "--sequence-parallel"])):
            other = losses(train(folder, at("dropped_other"), "--init", 5, *more, tp=tp, steps=4))
            far = max(abs(a[1] - b[1]) for a, b in zip(one, other))
            checks.that(far < 2e-5, f"{family}, tp {tp} {more}: the same elements are dropped (losses are off by {far:.1e})")
            shutil.rmtree(at("dropped_other"))
        half = losses(train(folder, at("dropped_half"), "--init", 5, tp=1, steps=2)) + losses(train(folder, at("dropped_half"), "--resume", tp=1, steps=2))
        checks.that(half == one, f"{family}: a run that is resumed drops what an uninterrupted one does")
        seeded = losses(train(folder, at("dropped_seeded"), "--init", 5, "--seed", 1, tp=1, steps=4))
        checks.that(seeded[0][1] != one[0][1], f"{family}: another seed, another loss")
        for made in ("one", "none", "half", "seeded"):
            shutil.rmtree(at("dropped_" + made))
    for name in ("attention_dropout", "router_jitter_noise"):
        config = dict(models.config("llama", vocab_size=260) if name == "attention_dropout" else models.config("mistral", vocab_size=260))
        if name == "router_jitter_noise":
            config |= {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
        folder = fresh("noisy", config | {name: 0.1})
        r = run("train", folder, "--out", at("never"), "--init", 3, *OPTIONS)
        checks.that(r.status == 2 and r.code == 606 and name in r.err, f"{name} is refused in training alone", r)


def resumed():
    """Three steps and three more are six, bit for bit, whatever the storage type."""
    for name in ("llama", "mistral"):
        for tp in (1, 2):
            folder = at(name)
            whole = train(folder, at("whole"), "--init", 5, tp=tp, steps=6)
            half = train(folder, at("half"), "--init", 5, tp=tp, steps=3)
            rest = train(folder, at("half"), "--resume", tp=tp, steps=3)
            checks.that(
                losses(half) + losses(rest) == losses(whole),
                f"{name}, tp {tp}: losses, norms and rates of a resumed run are those of an uninterrupted one",
            )
            a, b = files_of(at("whole")), files_of(at("half"))
            checks.that(
                a.keys() == b.keys() and all(a[n] == b[n] for n in a),
                f"{name}, tp {tp}: both leave the same bytes ({[n for n in a if a[n] != b.get(n)]} differ)",
            )
            for made in ("whole", "half"):
                shutil.rmtree(at(made))
    # The storage type may change on the way; the parameters that are trained do not.
    whole = train(at("llama"), at("whole"), "--init", 5, steps=4)
    for first, then in (("bf16", "f32"), ("f32", "bf16"), ("bf16", "auto")):
        half = train(at("llama"), at("half"), "--init", 5, "--dtype", first, steps=2)
        rest = train(at("llama"), at("half"), "--resume", "--dtype", then, steps=2)
        checks.that(
            losses(half) + losses(rest) == losses(whole), f"stored as {first} and resumed as {then}: the losses are the same"
        )
        shutil.rmtree(at("half"))
    one = train(at("llama"), at("one"), "--init", 5, tp=1, steps=4)
    for tp in (2, 3, 4):
        other = train(at("llama"), at("other"), "--init", 5, tp=tp, steps=4)
        far = max(abs(a[1] - b[1]) for a, b in zip(losses(one), losses(other)))
        checks.that(far < 2e-5, f"fresh weights and data are the same at tp {tp}: losses are off by {far:.1e}")
        shutil.rmtree(at("other"))
    for tp, more in ((2, ["--dp", 2]), (1, ["--dp", 3]), (2, ["--sequence-parallel"]), (2, ["--dp", 2, "--sequence-parallel"])):
        other = train(at("llama"), at("other"), "--init", 5, *more, tp=tp, steps=4)
        for k, what in ((1, "losses"), (2, "gradient norms")):
            far = max(abs(a[k] - b[k]) for a, b in zip(losses(one), losses(other)))
            checks.that(far < (2e-5, 2e-4)[k - 1], f"the same at tp {tp} with {more}: {what} are off by {far:.1e}")
        shutil.rmtree(at("other"))
    train(at("llama"), at("moved"), "--init", 5, tp=2, steps=2)
    moved = train(at("llama"), at("moved"), "--resume", tp=4, steps=2)
    far = max(abs(a[1] - b[1]) for a, b in zip(losses(one)[2:], losses(moved)))
    checks.that(far < 2e-5, f"a run of two ranks goes on with four: losses are off by {far:.1e}")
    again = train(at("llama"), at("again"), "--init", 5, tp=2, steps=4)
    same = train(at("llama"), at("same"), "--init", 5, tp=2, steps=4)
    checks.that(
        losses(again) == losses(same) and files_of(at("again")) == files_of(at("same")), "a run repeated is the same bit for bit"
    )
    from_old = train(at("llama_trained"), at("continued"), tp=2, steps=1)
    checks.that(from_old["steps"][0]["step"] == 1, "training goes on from another folder's weights with a fresh optimizer")


def stats_are_predicted():
    """--stats counts what `explain` says from the types alone."""
    given = at("in.safetensors")
    for name, config in VARIANTS.items():
        folder = at(name + "_trained")
        models.write_input(given, config, rows=2, length=13)
        for tp in (1, 2, 3, 4):
            if config["num_key_value_heads"] % tp and tp % config["num_key_value_heads"]:
                continue
            for plan in ("auto", "hf"):
                stats = at("stats.json")
                logits(folder, given, tp, "--plan", plan, "--grad", "--stats", stats)
                with open(stats) as file:
                    ranks = json.load(file)
                r = run("explain", folder, "--tp", tp, "--plan", plan, "--json", "--batch", 2, "--seq", 13)
                checks.that(r.status == 0, f"{name}, tp {tp}, {plan}: explained", r)
                told = json.loads(r.out)
                label = f"{name}, tp {tp}, {plan}"
                predicted = [sum(p["ranks"][k]["bytes"] for p in told["parameters"]) for k in range(tp)]
                checks.that(
                    [k["weight_bytes"] for k in ranks] == predicted,
                    f"{label}: each rank holds the predicted bytes {predicted}",
                    [k["weight_bytes"] for k in ranks],
                )
                counted = {}
                for layer in told["layers"]:
                    for c in layer["collectives"]:
                        calls, volume = counted.get(c["operation"], (0, 0))
                        counted[c["operation"]] = calls + c["calls"], volume + c["bytes"]
                for k in ranks:
                    made = {op: (c["calls"], c["bytes"]) for op, c in k["collectives"].items()}
                    checks.that(
                        {op: c[0] for op, c in made.items()} == {op: c[0] for op, c in counted.items()},
                        f"{label}: rank {k['rank']} made the predicted collectives",
                        f"{made} against {counted}",
                    )
                    total = k["predicted_collectives"]
                    checks.that(
                        sum(c[0] for c in made.values()) == total["forward"] + total["backward"],
                        f"{label}: its ledger has them all",
                        f"{made}, {total}",
                    )
                checks.that(
                    tp == 1 or sum(c[1] for c in counted.values()) == sum(c["bytes"] for c in ranks[0]["collectives"].values()),
                    f"{label}: their volume is the predicted one",
                    f"{counted} against {ranks[0]['collectives']}",
                )
                checks.that((not counted) == (tp == 1), f"{label}: one rank sends nothing, several do")
                checks.that(
                    abs(ranks[0]["flop_forward"] - told["flop_forward"]) <= 1e-9 * told["flop_forward"],
                    f"{label}: rank 0 does the predicted work forward",
                    f"{ranks[0]['flop_forward']} against {told['flop_forward']}",
                )
                checks.that(
                    abs(ranks[0]["flop_backward"] - told["flop_backward"]) <= 1e-9 * told["flop_backward"],
                    f"{label}: and backward",
                    f"{ranks[0]['flop_backward']} against {told['flop_backward']}",
                )


def decoding_recomputes_nothing():
    """The work of step t is one token's and its attention over t keys: affine in t, and the slope is the attention's alone."""
    for name, window in (("llama", None), ("qwen3", None), ("mistral", 5)):
        config, folder = VARIANTS[name], at(name + "_trained")
        for tp in (1, 4):
            stats = at("stats.json")
            r = run("generate", folder, "--tp", tp, "--tokens", "116,104,101", "--new", 65, "--ignore-eos", "--stats", stats)
            checks.that(r.status == 0 and len(r.out.split(",")) == 65, f"{name}, tp {tp}: 65 tokens", r)
            with open(stats) as file:
                step = json.load(file)["flop_per_step"]
            differences = [b - a for a, b in zip(step[1:], step[2:])]
            heads = config["num_attention_heads"] // tp
            each = (
                config["num_hidden_layers"] * heads * config["head_dim"] * 4
            )  # a multiply and an add, for scores and for values
            if window:
                checks.that(
                    all(d == 0 for d in differences[window:]),
                    f"{name}, tp {tp}: behind its window every step costs the same",
                    differences[:8],
                )
            else:
                checks.that(len(set(differences)) == 1, f"{name}, tp {tp}: the work of step t is affine in t", differences[:8])
                checks.that(
                    each <= differences[0] <= 2.2 * each,
                    f"{name}, tp {tp}: a further key costs {each} and a softmax, not {differences[0]}",
                )
            matrices = 2 * sum(math.prod(s) for n, s in models.shapes(config).items() if len(s) == 2 and "embed" not in n)
            if config["tie_word_embeddings"]:
                matrices += 2 * config["vocab_size"] * config["hidden_size"]
            attention = 66 * each if not window else window * each
            bound = matrices / tp * 1.25 + 3 * attention + 20000
            checks.that(
                matrices / tp * 0.9 < step[64] < bound,
                f"{name}, tp {tp}: decode step 64 is one token ({matrices / tp:.0f}) and attention, {step[64]:.0f}",
            )
            # A prompt of 67 tokens costs far more: the figure above would show a prefix computed again.
            checks.that(step[64] < step[0], f"{name}, tp {tp}: it costs less than the prompt of three tokens", step[:3])


def cached_decoding_is_the_forward():
    """Token by token with the cache, or all at once without it: the same greedy text."""
    for name in VARIANTS:
        folder = at(name + "_trained")
        prompt = [116, 104, 101, 32]
        r = run("generate", folder, "--tp", 2, "--tokens", ",".join(map(str, prompt)), "--new", 8, "--ignore-eos")
        made = [int(t) for t in r.out.split(",")]
        given = at("in.safetensors")
        tensors.write(given, {"input_ids": tensors.ids([prompt + made])})
        out = logits(folder, given, 1)["logits"]
        vocab = out.shape[2]
        for i, token in enumerate(made):
            row = out.values[(len(prompt) - 1 + i) * vocab : (len(prompt) + i) * vocab]
            checks.that(row[token] >= max(row) - 1e-4, f"{name}: new token {i} is the likeliest of the whole forward")


def console():
    """A line for each step, as the contract has it; errors and progress elsewhere."""
    shutil.rmtree(at("lines"), ignore_errors=True)
    r = run("train", at("llama"), "--init", 1, "--out", at("lines"), "--tp", 2, "--steps", 3, *OPTIONS)
    pattern = r"step (\d+)  loss \d+\.\d+  grad norm \d+\.\d+  lr \S+  \d+\.\d+ ms  \d+ tok/s  \d+\.\d+ MB communicated"
    found = [re.fullmatch(pattern, line) for line in r.out.splitlines()[:-1]]
    checks.that(all(found) and [m.group(1) for m in found] == ["1", "2", "3"], "a line for each step, from one rank only", r)
    checks.that(r.err == "", "standard error stays empty", r)


def main():
    try:
        for part in (
            saved_and_reloaded,
            resumed,
            dropped,
            stats_are_predicted,
            decoding_recomputes_nothing,
            cached_decoding_is_the_forward,
            console,
        ):
            part()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
