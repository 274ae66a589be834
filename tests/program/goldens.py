#!/usr/bin/env python3
"""Logits, loss, gradients and greedy tokens of every golden, at every number of ranks, under every kind of plan.

    python3 tests/program/goldens.py                     # tests/goldens
    python3 tests/program/goldens.py FOLDER llama qwen2  # cases of another folder: config.json, model, io and grads.safetensors
    python3 tests/program/goldens.py --table FOLDER      # and a line for each run: errors, all-reduces a layer, bytes a token
    python3 tests/program/goldens.py --device cuda --ranks 1,2,4 [--dtype bf16]      # elsewhere, on other numbers of ranks, in 16 bits

A number of ranks that cannot share the heads must be refused with SP105 and the numbers that can.
"""

import argparse
import json
import math
import os
import re
import shutil
import sys

from support import tensors
from support.program import ROOT, Checks, run, scratch_folder

RANKS = [1, 2, 3, 4, 5, 6, 7, 8, 12]
LOGITS, LOSS, GRADIENT = 1e-4, 1e-5, 1e-3
# Where weights are rounded to bf16, each by up to 2^-9 of itself: of the loss, and of the norm of all logits, as a single one of a
# thousand may be off by a few times that, on any device.
SIXTEEN_BITS = 2e-2
# Rounded weights send one token to another expert there, and its logits are off by 0.7 and 1.5: it is left out, whichever it is.
ANOTHER_EXPERT = {"gpt_oss", "mixtral_12_12"}

# A plan as a user writes it: names as in transformers' dictionaries, the table whole, an older style name, an optional rule.
GATED = {"mlp.gate_proj": "colwise", "mlp.up_proj": "colwise", "mlp.down_proj": "rowwise"}
# Experts in two of the plans are cut inside; here they are dealt out, and tokens travel.
DEALT = {"mlp.experts.gate_up_proj": "grouped_gemm", "mlp.experts.down_proj": "grouped_gemm"}
EXPERTS = DEALT | {"mlp.experts": "ep_dispatch_experts"}
BIASED = {f"mlp.experts.{name}_proj_bias": "grouped_gemm" for name in ("gate_up", "down")}
SPARSE = {"?" + name: style for name, style in (GATED | EXPERTS).items()}
SHARED = {f"?mlp.{{}}.{name}_proj": style for name, style in (("gate", "colwise"), ("up", "colwise"), ("down", "rowwise"))}


def shared(member):
    return {name.format(member): style for name, style in SHARED.items()}


MLP = {
    "glm4": {"mlp.gate_up_proj": "packed_colwise", "mlp.down_proj": "rowwise"},
    "deepseek_v2": SPARSE | shared("shared_experts"),
    "deepseek_v3": SPARSE | shared("shared_experts"),
    "glm4_moe": SPARSE | shared("shared_experts"),
    "gpt_oss": DEALT | BIASED | {"mlp.experts": "moe_tp_experts", "mlp.router": "ep_router"},
    "llama4_text": SPARSE | shared("shared_expert"),
    "mixtral": EXPERTS,
    "phi": {"mlp.fc1": "colwise", "mlp.fc2": "rowwise"},
    "phi3": {"mlp.gate_up_proj": "packed_colwise", "mlp.down_proj": "rowwise"},
    "qwen2_moe": SPARSE | shared("shared_expert"),
    "qwen3_moe": SPARSE,
    "starcoder2": {"mlp.c_fc": "colwise", "mlp.c_proj": "rowwise"},
}
WHOLE_NORMS = {"olmo2": ["q_norm", "k_norm"]}
HEAD_NORMS = {"glm4_moe": ["?q_norm", "?k_norm"], "qwen3": ["q_norm", "k_norm"], "qwen3_moe": ["q_norm", "k_norm"], "gemma3_text": ["q_norm", "k_norm"], "phi": ["?q_layernorm", "?k_layernorm"]}


LATENT = {"?q_proj": "colwise", "?q_a_proj": "replicated", "?q_b_proj": "colwise", "kv_a_proj_with_mqa": "mla_kv_a_proj", "kv_b_proj": "colwise", "o_proj": "rowwise"}


def own_plan(model_type):
    if model_type == "gpt2":
        layer = {"attn.c_attn": "packed_colwise", "attn.c_proj": "rowwise", "mlp.c_fc": "colwise", "mlp.c_proj": "rowwise"}
        return {f"h.*.{name}": style for name, style in layer.items()} | {"?lm_head": "colwise_rep"}
    if model_type == "gpt_neox":
        layer = {"attention.query_key_value": "colwise", "attention.dense": "rowwise", "mlp.dense_h_to_4h": "colwise", "mlp.dense_4h_to_h": "rowwise"}
        return {f"layers.*.{name}": style for name, style in layer.items()} | {"?embed_out": "colwise_rep"}
    if model_type == "longcat_flash":
        layer = {f"self_attn.*.{name.lstrip('?')}": style for name, style in LATENT.items() if name != "?q_proj"}
        layer |= {name.replace("mlp.", "mlps.*."): style for name, style in GATED.items()} | EXPERTS
        return {f"layers.*.{name}": style for name, style in layer.items()} | {"?lm_head": "colwise_rep"}
    projections = {"q_proj": "colwise", "k_proj": "colwise", "v_proj": "colwise", "dense" if model_type == "phi" else "o_proj": "rowwise"}
    if model_type == "phi3":
        projections = {"qkv_proj": "packed_colwise", "o_proj": "rowwise"}
    if model_type in ("deepseek_v2", "deepseek_v3"):
        projections = LATENT
    layer = {("?" if name[0] == "?" else "") + f"self_attn.{name.lstrip('?')}": style for name, style in projections.items()}
    layer |= MLP.get(model_type, GATED)
    if model_type == "llama4_text":
        layer = {name.replace("mlp.", "feed_forward."): style for name, style in layer.items()}
    plan = {("?" if name[0] == "?" else "") + f"layers.*.{name.lstrip('?')}": style for name, style in layer.items()}
    for name in HEAD_NORMS.get(model_type, []):
        optional = "?" if name[0] == "?" else ""
        plan[f"{optional}layers.*.self_attn.{name.lstrip('?')}"] = "replicated_with_grad_allreduce"
    for name in WHOLE_NORMS.get(model_type, []):
        plan[f"layers.*.self_attn.{name}"] = "sharded_norm"
    if model_type == "gpt_oss":
        plan["layers.*.self_attn.sinks"] = "colwise"
    return plan | {"?lm_head": "colwise_rep"}


def refused_plan(c, plan):
    """Why transformers' own plan must be refused: it leaves norms of sharded heads unsynchronised."""
    normed = c.get("qk_layernorm") or (c.get("use_qk_norm") and c["model_type"] != "llama4_text")  # its norms have no weights
    return 301 if plan == "hf" and normed else 0


def heads_of(c):
    return c.get("num_attention_heads") or c["n_head"]


def legal(c, tp, plan="auto"):
    if plan == "hf" and c["model_type"] in ("deepseek_v3", "gpt_oss", "gpt2"):  # transformers leaves their attention whole
        return True
    q = heads_of(c)
    kv = c.get("num_key_value_heads") or q
    return q % tp == 0 and (kv % tp == 0 or tp % kv == 0)


def plan_file(folder, c):
    plan = own_plan(c["model_type"])
    if c.get("tie_word_embeddings", c["model_type"] == "gpt2"):  # the table is the head's: it lies as the head needs it
        plan["wte" if c["model_type"] == "gpt2" else "embed_tokens"] = "embedding_rowwise"
        del plan["?lm_head"]
        plan["lm_head"] = "colwise_gather_output"
    path = os.path.join(folder, "plan.json")
    with open(path, "w") as file:
        json.dump(plan, file)
    return path


def norm(values):
    return math.sqrt(math.fsum(x * x for x in values))


class Case:
    def __init__(self, folder):
        self.folder, self.name = folder, os.path.basename(folder)
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        self.io = tensors.read(os.path.join(folder, "io.safetensors"))
        golden = tensors.read(os.path.join(folder, "grads.safetensors"))
        names = {n: {"param": n} for n in golden}                       # the checkpoint's name -> transformers', and which part of it
        if os.path.exists(os.path.join(folder, "names.json")):
            with open(os.path.join(folder, "names.json")) as file:
                names = {n: of for n, of in json.load(file).items() if of["param"] in golden}
        self.gradients = {}
        for name, of in names.items():
            t = golden[of["param"]]
            if of.get("kind") == "expert":                              # rows of one expert of a stack [experts, rows, columns]
                (first, last), (_, rows, columns) = of["rows"], t.shape
                at = (of["index"] * rows + first) * columns
                t = tensors.Tensor(t.dtype, (last - first, columns), t.values[at : at + (last - first) * columns])
            self.gradients[name] = (t, norm(t.values))
        self.whole = norm([n for _, n in self.gradients.values()])
        with open(os.path.join(folder, "case.json")) as file:
            self.prompt = json.load(file).get("prompt", 8)


def compare(checks, case, out, label, answer, exact):
    """The largest error of logits, loss and gradients."""
    ours, golden = out["logits"].values, case.io["logits"].values
    logits = tensors.distance(ours, golden)
    if not exact:
        width = case.io["logits"].shape[-1]
        off = sorted(norm([a - b for a, b in zip(ours[i : i + width], golden[i : i + width])]) for i in range(0, len(golden), width))
        logits = norm(off[:-1] if case.name in ANOTHER_EXPERT else off) / norm(golden)
    shape_right = out["logits"].shape == case.io["logits"].shape
    loss = abs(out["loss"].values[0] - case.io["loss"].values[0])
    worst, at = 0.0, ""
    for name, (golden, size) in case.gradients.items():
        ours = out.get("grad." + name)
        if ours is None or ours.shape != golden.shape or ours.dtype != "F32":
            worst, at = math.inf, name
            break
        far = norm([a - b for a, b in zip(ours.values, golden.values)]) / max(size, 1e-4 * case.whole)
        if not far <= worst:
            worst, at = far, name
    limit, of_loss = (LOGITS, LOSS) if exact else (SIXTEEN_BITS, SIXTEEN_BITS)
    checks.that(shape_right and logits <= limit, f"{label}: logits within {limit} (off by {logits:.2e})", answer)
    checks.that(loss <= of_loss, f"{label}: loss within {of_loss} (off by {loss:.2e})", answer)
    if not exact:                                                        # gradients are of other weights
        return logits, loss, worst
    checks.that(worst <= GRADIENT, f"{label}: gradients within {GRADIENT} ({at} off by {worst:.2e})", answer)
    extra = {n for n in out if n.startswith("grad.")} - {"grad." + n for n in case.gradients}
    checks.that(not extra, f"{label}: no gradient of something else ({sorted(extra)})", answer)
    return logits, loss, worst


def costs(case, options):
    """All-reduces of a layer, forward and backward, and kB that a token sends in a step: as `explain` predicts, and runs are checked."""
    batch, length = case.io["input_ids"].shape
    r = run("explain", case.folder, "--json", "--batch", batch, "--seq", length, *options)
    layers = case.config.get("num_hidden_layers") or case.config.get("n_layer") or case.config["num_layers"]
    reduces, sent = {"forward": 0, "backward": 0}, 0
    for layer in json.loads(r.out)["layers"]:
        for c in layer["collectives"]:
            sent += c["bytes"]
            if c["operation"] == "all_reduce" and re.search(r"(^|\.)(layers|h)\.[\d*]+\.", layer["layer"]):
                reduces[c["direction"]] += c["calls"]
    return reduces["forward"] / layers, reduces["backward"] / layers, sent / (batch * length)


def table_line(case, plan, tp, errors, options):
    forward, backward, sent = costs(case, options)
    print(
        f"| {case.config['model_type']} ({case.name}) | {tp} | {plan} | {errors[0]:.1e} | {errors[1]:.1e} | {errors[2]:.1e} | "
        f"{forward:g} + {backward:g} | {sent:.0f} |",
        flush=True,
    )


def one_case(checks, case, scratch, options):
    c = case.config
    given = os.path.join(scratch, "in.safetensors")
    tensors.write(given, {k: case.io[k] for k in ("input_ids", "labels")})
    prompt = ",".join(str(i) for i in case.io["input_ids"].values[: case.prompt])
    greedy = ",".join(str(i) for i in case.io["greedy"].values)
    every = [tp for tp in range(1, heads_of(c) + 1) if legal(c, tp)]
    possible = [tp for tp in options.ranks if tp in every]
    where = ["--device", options.device, "--dtype", options.dtype]
    exact = options.dtype != "bf16"
    worst = [0.0, 0.0, 0.0]
    refused = 0
    plans = [("auto",), ("hf",), (plan_file(scratch, c),), ("auto", "--sequence-parallel")]
    if any("expert" in key for key in c):
        plans += [("auto", "--ep"), ("auto", "--ep", "--ep-engine", "masked")]
    for plan, *ep in plans:
        for tp in options.ranks:
            label = " ".join([f"{case.name}, plan {os.path.basename(plan)}", *ep]) + f", tp {tp}"
            output = os.path.join(scratch, "out.safetensors")
            if os.path.exists(output):
                os.remove(output)
            r = run("run", case.folder, "--tp", tp, "--plan", plan, "--input", given, "--output", output, "--grad", *where, *ep)
            if legal(c, tp, plan) and refused_plan(c, plan):
                # One rank drifts from nobody, but its plan is the same plan.
                checks.that(r.status == 2 and r.code == refused_plan(c, plan), f"{label}: refused with SP{refused_plan(c, plan)}", r)
                continue
            if not legal(c, tp, plan):
                refused += 1
                checks.that(r.status == 2 and r.code == 105 and not os.path.exists(output), f"{label}: refused with SP105", r)
                named = re.search(r"legal ((?:\d+, )*\d+)\]", r.err)
                checks.that(
                    named and [int(n) for n in named.group(1).split(", ")] == every,
                    f"{label}: the legal numbers {every} are listed",
                    r,
                )
                continue
            if not checks.that(r.status == 0 and os.path.exists(output), f"{label}: runs", r):
                continue
            errors = compare(checks, case, tensors.read(output), label, r, exact)
            if options.table:
                table_line(case, " ".join([os.path.basename(plan), *ep]), tp, errors, ["--tp", tp, "--plan", plan, *ep])
            worst = [max(a, b) for a, b in zip(worst, errors)]
            if exact and (plan == "auto" or tp in possible[:2]):
                g = run(
                    "generate",
                    case.folder,
                    "--tp",
                    tp,
                    "--plan",
                    plan,
                    *ep,
                    *where,
                    "--tokens",
                    prompt,
                    "--new",
                    len(case.io["greedy"].values),
                )
                checks.that(g.status == 0 and g.out.strip() == greedy, f"{label}: greedy tokens are {greedy}", g)
    print(
        f"{case.name}: tp {possible}, {refused} refused; off by at most: logits {worst[0]:.1e}, loss {worst[1]:.1e}, "
        f"gradients {worst[2]:.1e}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.path.join(ROOT, "tests", "goldens"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--ranks", default=RANKS, type=lambda text: [int(n) for n in text.split(",")])
    options = parser.parse_args()
    folder = options.folder
    names = options.names or sorted(n for n in os.listdir(folder) if os.path.exists(os.path.join(folder, n, "io.safetensors")))
    checks = Checks("goldens")
    scratch = scratch_folder()
    if options.table:
        print("| family (case) | tp | plan | logits | loss | gradients | all-reduces a layer, forward + backward | bytes a token sends |")
        print("|---|---|---|---|---|---|---|---|")
    try:
        for name in names:
            one_case(checks, Case(os.path.join(folder, name)), scratch, options)
    finally:
        shutil.rmtree(scratch)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
