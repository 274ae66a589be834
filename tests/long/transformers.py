#!/usr/bin/env python3
"""The program against transformers: trained checkpoints are loaded there, and configurations of all kinds computed by both.

    bash tests/long/transformers.sh                            # installs torch and transformers, and runs this
    python tests/long/transformers.py --only yarn --random 0   # in an environment that has them: variants whose name holds "yarn"

A variant is a config.json as its author would have written it, with older or newer keys; transformers reads that very file, so
that defaults and precedence are compared as well as the computation.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import math
import os
import random
import shutil
import sys
import tempfile

# This file is called like the package it needs.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "program"))
from support import models  # noqa: E402
from support.program import Checks, run  # noqa: E402

spec = importlib.util.spec_from_file_location("drawing", os.path.join(HERE, "options.py"))
drawing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(drawing)
ropes = drawing.ropes

LOGITS, LOSS, GRADIENT = 1e-4, 1e-5, 1e-3
NEAR = 1e-4  # routers that choose by less are drawn again
NEW = 10
checks = Checks("transformers")
scratch = tempfile.mkdtemp(prefix="shardproof-")
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def at(*names):
    return os.path.join(scratch, *names)


# ---------------------------------------------------------------------------------------------------------------- reference


class Margins:
    """Keeps the smallest distance between what a router chooses and what it does not choose."""

    def __enter__(self):
        self.least, self.topk = math.inf, torch.topk

        def topk(x, k, *args, **kwargs):
            if x.dim() == 2 and k < x.shape[-1]:  # of three dimensions: the best two of a group, which are summed
                best = x.detach().float().sort(dim=-1, descending=True).values
                gap = best[:, k - 1] - best[:, k]
                self.least = min(self.least, float(gap.nan_to_num(math.inf).min()))
            return self.topk(x, k, *args, **kwargs)

        torch.topk = torch.Tensor.topk = topk
        return self

    def __exit__(self, *_):
        torch.topk = self.topk
        del torch.Tensor.topk


def load(folder):
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def gradients_of(model):
    """{name in a checkpoint: gradient}: they are saved as if they were the parameters."""
    with torch.no_grad():
        for p in model.parameters():
            p.data = torch.zeros_like(p) if p.grad is None else p.grad.clone()
    model.config.tie_word_embeddings = model.config.tie_word_embeddings
    model.save_pretrained(at("gradients"))
    out = {}
    for name in os.listdir(at("gradients")):
        if name.endswith(".safetensors"):
            out |= load_file(at("gradients", name))
    shutil.rmtree(at("gradients"))
    buffers = tuple(n.rsplit(".", 1)[-1] for n, _ in model.named_buffers())
    return {n: g for n, g in out.items() if not n.endswith(buffers)} if buffers else out


def reference(folder, ids, labels):
    """(logits, loss, {name: gradient}, greedy tokens of the first row's beginning, their smallest margin, that of routers)."""
    with Margins() as routers:
        model = load(folder)
        out = model(input_ids=ids, labels=labels, use_cache=False)
        out.loss.backward()
        gradients = gradients_of(model)
        model = load(folder)  # dynamic frequencies are kept inside; begin afresh
        model.generation_config.eos_token_id = model.generation_config.pad_token_id = None
        prompt = ids[:1, : prompt_of(ids.shape[1])]
        cached = getattr(model.config, "sliding_window", None) != 1  # its cache of window 1 keeps everything: keys[-0:]
        made = model.generate(
            prompt,
            use_cache=cached,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=None,
            output_scores=True,
            return_dict_in_generate=True,
        )
    top = [s[0].topk(2).values for s in made.scores]
    margin = min(float(t[0] - t[1]) for t in top)
    tokens = made.sequences[0, prompt.shape[1] :].tolist()
    return out.logits.detach(), out.loss.detach().item(), gradients, tokens, margin, routers.least


def prompt_of(length):
    return 5 if length <= 21 else length // 2


def make_checkpoint(folder, config, storage=torch.float32, shards=None, keep_written=False, edit=None, seed=1):
    """Random weights, saved by transformers; config.json as given, or as transformers writes it."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        gemma = config["model_type"].startswith("gemma")  # norms multiply by 1 + weight
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            of_norm = name.endswith(".weight") and p.dim() == 1 and not gemma
            p.copy_(1 + 0.2 * noise if of_norm else noise * (1.2 / math.sqrt(p.shape[-1]) if p.dim() > 1 else 0.2))
        for name, p in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                p.copy_(0.2 * torch.randn(p.shape, generator=g))
    model.to(storage).save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
    for name in os.listdir(folder):  # generation defaults have no part in this
        if name == "generation_config.json":
            os.remove(os.path.join(folder, name))
    if not keep_written:
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file, indent=2)
    if edit:
        edit(folder)


def inputs(config, rows=2, length=21, seed=5):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, config["vocab_size"], (rows, length), generator=g)
    labels = ids.clone()
    labels[0, :3] = labels[-1, -1] = -100
    save_file({"input_ids": ids, "labels": labels}, at("in.safetensors"))
    return ids, labels


def ranks_of(folder, candidates=(1, 2, 3, 4), plan="auto"):
    """Those that share the heads."""
    c = AutoConfig.from_pretrained(folder)
    heads = {"model_type": c.model_type, "num_attention_heads": c.num_attention_heads}
    heads["num_key_value_heads"] = getattr(c, "num_key_value_heads", None)
    return [tp for tp in candidates if drawing.legal(heads, tp, plan)]


def far(ours, theirs):
    return (ours.double() - theirs.double()).abs().max().item() if ours.shape == theirs.shape else math.inf


def compare(label, folder, wanted, plans=(("auto",),), candidates=(1, 2, 3, 4), refused=()):
    """`plans`: options of the program, the plan first. `refused`: those of them that it must refuse."""
    logits, loss, gradients, tokens, margin, _ = wanted
    whole = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients.values()))
    worst = [0.0, 0.0, 0.0]
    for options in plans:
        for tp in ranks_of(folder, candidates, options[0]):
            name = f"{label}, {' '.join(options)}, tp {tp}"
            files = ["--input", at("in.safetensors"), "--output", at("out.safetensors"), "--grad"]
            r = run("run", folder, "--tp", tp, "--plan", *options, *files)
            if options in refused:
                checks.that(r.status == 2 and r.code == 301, f"{name}: refused with SP301", r)
                continue
            if not checks.that(r.status == 0, f"{name}: runs", r):
                continue
            out = load_file(at("out.safetensors"))
            errors = [far(out["logits"], logits), abs(out["loss"].item() - loss), 0.0]
            where = ""
            for n, g in gradients.items():
                ours = out.get("grad." + n)
                if ours is None and not g.any():  # of a parameter that nothing uses
                    continue
                size = max(float(g.double().norm()), 1e-4 * whole)
                e = float((ours.double() - g.double()).norm()) / size if ours is not None and ours.shape == g.shape else math.inf
                if not e <= errors[2]:
                    errors[2], where = e, n
            checks.that(errors[0] <= LOGITS, f"{name}: logits are off by {errors[0]:.1e}")
            checks.that(errors[1] <= LOSS, f"{name}: loss is off by {errors[1]:.1e}")
            checks.that(errors[2] <= GRADIENT, f"{name}: gradient of {where} is off by {errors[2]:.1e}")
            worst = [max(a, b) for a, b in zip(worst, errors)]
            if margin > 2e-4:
                ids = load_file(at("in.safetensors"))["input_ids"]
                prompt = ",".join(map(str, ids[0, : prompt_of(ids.shape[1])].tolist()))
                g = run("generate", folder, "--tp", tp, "--plan", *options, "--tokens", prompt, "--new", NEW, "--ignore-eos")
                checks.that(
                    g.status == 0 and g.out.strip() == ",".join(map(str, tokens)), f"{name}: greedy tokens are {tokens}", g
                )
    return worst


# ----------------------------------------------------------------------------------------------------------------- variants

BASE = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 61,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
FAMILIES = ("llama", "qwen2", "qwen3", "mistral")
DROP = object()
SILENT = drawing.SILENT


def config(family, **changes):
    c = dict(BASE, model_type=family, architectures=[models.CLASSES[family] + "ForCausalLM"])
    if family == "qwen3":
        c["head_dim"] = 8
    for key, value in changes.items():
        c.pop(key, None)
        if value is not DROP:
            c[key] = value
    return c


def variants():
    """(name, config, options of make_checkpoint)."""
    for family in FAMILIES:
        head_dim = config(family).get("head_dim") or BASE["hidden_size"] // BASE["num_attention_heads"]
        for name, keys in ropes(head_dim // 2).items():
            yield f"{family}: rope {name}", config(family, **keys), {}
        for heads, kv in ((8, 8), (8, 4), (8, 1), (12, 4), (12, 3), (4, 2), (6, 6), (5, 1), (7, 7), (1, 1)):
            wide = {"hidden_size": heads * 8} if heads in (5, 7, 1) else {}
            yield f"{family}: {heads} heads, {kv} KV heads", config(
                family, num_attention_heads=heads, num_key_value_heads=kv, **wide
            ), {}
        yield f"{family}: head_dim 16", config(family, head_dim=16), {}
        yield f"{family}: head_dim 2", config(family, head_dim=2), {}
        yield f"{family}: head_dim null", config(family, head_dim=None), {} if family in ("llama", "mistral") else {"skip": True}
        yield f"{family}: tied", config(family, tie_word_embeddings=True), {}
        yield f"{family}: tied, odd vocabulary", config(family, tie_word_embeddings=True, vocab_size=7), {}
        yield f"{family}: vocabulary smaller than ranks", config(family, vocab_size=3), {}
        yield f"{family}: untied, said", config(family, tie_word_embeddings=False), {}
        for eps in (1e-5, 1e-3, 0.5):
            yield f"{family}: rms_norm_eps {eps}", config(family, rms_norm_eps=eps), {}
        for act in (
            "gelu",
            "gelu_new",
            "gelu_pytorch_tanh",
            "gelu_fast",
            "relu",
            "swish",
            "tanh",
            "sigmoid",
            "relu2",
            "gelu_python",
        ):
            yield f"{family}: {act}", config(family, hidden_act=act), {}
        for n in (1, 3, 5):
            yield f"{family}: {n} layers", config(family, num_hidden_layers=n), {}
        for pad in (0, 5, -1, 96):
            yield f"{family}: pad token {pad}", config(family, pad_token_id=pad), {}
        yield f"{family}: narrow mlp", config(family, intermediate_size=3), {}
        yield f"{family}: positions beyond max_position_embeddings", config(family, max_position_embeddings=8), {}
        for storage, text in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16"), (torch.float64, "float64")):
            yield f"{family}: stored as {text}", config(family, dtype=text), {"storage": storage}
            yield f"{family}: stored as {text}, torch_dtype", config(family, torch_dtype=text), {"storage": storage}
        yield f"{family}: stored as bfloat16, dtype not said", config(family), {"storage": torch.bfloat16}
        yield f"{family}: several files", config(family), {"shards": "20KB"}
        yield f"{family}: several files, tied, bfloat16", config(family, tie_word_embeddings=True, dtype="bfloat16"), {
            "shards": "10KB",
            "storage": torch.bfloat16,
        }
        yield f"{family}: config.json as transformers writes it", config(family, rope_theta=99.0), {"keep_written": True}
        yield f"{family}: the same, tied", config(family, tie_word_embeddings=True), {"keep_written": True}
        yield f"{family}: tied, both tables in the file, equal", config(family, tie_word_embeddings=True), {
            "edit": both_tables(0.0)
        }
        yield f"{family}: tied, both tables in the file, different", config(family, tie_word_embeddings=True), {
            "edit": both_tables(0.3)
        }
        yield f"{family}: tied, only the head in the file", config(family, tie_word_embeddings=True), {"edit": head_only}
        yield f"{family}: layer_types all full", config(family, layer_types=["full_attention"] * 2), (
            {} if family != "mistral" else {"skip": True}
        )
    for bias, mlp in itertools.product((True, False), repeat=2):
        yield f"llama: attention_bias {bias}, mlp_bias {mlp}", config("llama", attention_bias=bias, mlp_bias=mlp), {}
    yield "llama: biases, tied, one KV head", config(
        "llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True, num_key_value_heads=1
    ), {}
    yield "llama: KV heads null", config("llama", num_key_value_heads=None), {}
    yield "llama: KV heads not said", config("llama", num_key_value_heads=DROP), {}
    yield "mistral: KV heads not said", config("mistral", num_key_value_heads=DROP), {}
    yield "llama: pretraining_tp 1", config("llama", pretraining_tp=1), {}
    yield "llama: nothing but sizes", {
        k: v
        for k, v in config("llama").items()
        if k not in ("rms_norm_eps", "hidden_act", "max_position_embeddings", "architectures", "pad_token_id")
    }, {}
    yield "qwen3: attention_bias", config("qwen3", attention_bias=True), {}
    yield "qwen3: attention_bias, tied", config("qwen3", attention_bias=True, tie_word_embeddings=True), {}
    yield "qwen3: head_dim not said", config("qwen3", head_dim=DROP), {}
    yield "qwen3: heads wider than hidden_size", config("qwen3", hidden_size=20, head_dim=12), {}
    yield "qwen2: heads wider than hidden_size", config("qwen2", hidden_size=20, head_dim=12), {}
    for family in ("qwen2", "qwen3"):
        for window in (1, 4, 20, 21, 4096):
            yield f"{family}: window {window} everywhere", config(
                family, use_sliding_window=True, sliding_window=window, max_window_layers=0
            ), {}
        yield f"{family}: window from layer 1", config(family, use_sliding_window=True, sliding_window=4, max_window_layers=1), {}
        yield f"{family}: window from behind the last layer", config(
            family, use_sliding_window=True, sliding_window=4, max_window_layers=2
        ), {}
        yield f"{family}: window from layer 28 as by default", config(family, use_sliding_window=True, sliding_window=4), {}
        yield f"{family}: window switched off", config(
            family, use_sliding_window=False, sliding_window=4, max_window_layers=0
        ), {}
        yield f"{family}: window without the switch", config(family, sliding_window=4, max_window_layers=0), {}
        yield f"{family}: layer_types", config(
            family,
            num_hidden_layers=3,
            use_sliding_window=True,
            sliding_window=3,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ), {}
        yield f"{family}: layer_types against max_window_layers", config(
            family,
            use_sliding_window=True,
            sliding_window=3,
            max_window_layers=0,
            layer_types=["full_attention", "sliding_attention"],
        ), {}
        yield f"{family}: window as transformers writes it", config(
            family, use_sliding_window=True, sliding_window=4, max_window_layers=1
        ), {"keep_written": True}
        yield f"{family}: window and yarn", config(
            family,
            use_sliding_window=True,
            sliding_window=4,
            max_window_layers=1,
            rope_theta=1000.0,
            rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        ), {}
    for window in (1, 3, 20, 21, 4096, None):
        yield f"mistral: window {window}", config("mistral", sliding_window=window), {}
    yield "mistral: window not said", config("mistral"), {}
    yield "mistral: window and dynamic rotation", config(
        "mistral",
        sliding_window=6,
        max_position_embeddings=16,
        rope_theta=10000.0,
        rope_scaling={"type": "dynamic", "factor": 2.0},
    ), {}
    yield "mistral: window, tied, several files", config("mistral", sliding_window=5, tie_word_embeddings=True), {
        "shards": "15KB"
    }
    # Larger than the blocks that kernels work in, and sizes that are no multiple of anything.
    for family, keys, rows, length in (
        (
            "llama",
            dict(hidden_size=256, num_attention_heads=4, num_key_value_heads=4, intermediate_size=700, vocab_size=1001),
            2,
            130,
        ),
        (
            "llama",
            dict(
                hidden_size=120,
                num_attention_heads=12,
                num_key_value_heads=4,
                intermediate_size=333,
                vocab_size=515,
                attention_bias=True,
                mlp_bias=True,
            ),
            3,
            67,
        ),
        (
            "qwen2",
            dict(
                hidden_size=192,
                num_attention_heads=12,
                num_key_value_heads=2,
                vocab_size=300,
                use_sliding_window=True,
                sliding_window=100,
                max_window_layers=1,
                tie_word_embeddings=True,
            ),
            1,
            300,
        ),
        ("qwen3", dict(hidden_size=130, num_attention_heads=6, num_key_value_heads=3, head_dim=64, vocab_size=259), 2, 200),
        ("mistral", dict(hidden_size=96, num_attention_heads=8, num_key_value_heads=2, head_dim=24, sliding_window=128), 1, 513),
        ("mistral", dict(sliding_window=33, num_hidden_layers=3), 5, 65),
        ("llama", dict(num_hidden_layers=12), 1, 40),
        ("llama", {}, 17, 2),
        ("qwen3", {}, 1, 5),
    ):
        yield f"{family}: {rows} rows of {length}, {json.dumps(keys)[:60]}", config(family, **keys), {
            "rows": rows,
            "length": length,
        }
    yield "llama: positions of thousands", config("llama", num_hidden_layers=1, rope_theta=1e6, max_position_embeddings=8192), {
        "rows": 1,
        "length": 2100,
    }
    # As published, made small.
    yield "Llama 3.2", config(
        "llama",
        attention_dropout=0.0,
        attention_bias=False,
        mlp_bias=False,
        bos_token_id=1,
        eos_token_id=[2, 3, 4],
        head_dim=6,
        max_position_embeddings=131072,
        pretraining_tp=1,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
        rope_scaling={
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        tie_word_embeddings=True,
        torch_dtype="bfloat16",
        transformers_version="4.45.0.dev0",
        use_cache=True,
        initializer_range=0.02,
    ), {"storage": torch.bfloat16}
    yield "Qwen2.5", config(
        "qwen2",
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.02,
        max_position_embeddings=32768,
        max_window_layers=21,
        rope_theta=1000000.0,
        sliding_window=32768,
        tie_word_embeddings=True,
        torch_dtype="bfloat16",
        transformers_version="4.43.1",
        use_cache=True,
        use_sliding_window=False,
        use_mrope=False,
    ), {"storage": torch.bfloat16}
    yield "Qwen3", config(
        "qwen3",
        attention_bias=False,
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        head_dim=16,
        initializer_range=0.02,
        max_position_embeddings=40960,
        max_window_layers=28,
        rope_scaling=None,
        rope_theta=1000000,
        sliding_window=None,
        tie_word_embeddings=True,
        torch_dtype="bfloat16",
        transformers_version="4.51.0",
        use_cache=True,
        use_sliding_window=False,
    ), {"storage": torch.bfloat16}
    yield "Mistral 7B v0.1", config(
        "mistral",
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.02,
        max_position_embeddings=32768,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        sliding_window=16,
        tie_word_embeddings=False,
        torch_dtype="bfloat16",
        transformers_version="4.34.0.dev0",
        use_cache=True,
    ), {"storage": torch.bfloat16}


def both_tables(change):
    def edit(folder):
        path = os.path.join(folder, "model.safetensors")
        t = load_file(path)
        t["lm_head.weight"] = t["model.embed_tokens.weight"].clone()
        t["lm_head.weight"][1] += change
        save_file(t, path, {"format": "pt"})

    return edit


def head_only(folder):
    path = os.path.join(folder, "model.safetensors")
    t = load_file(path)
    t["lm_head.weight"] = t.pop("model.embed_tokens.weight")
    save_file(t, path, {"format": "pt"})


def minimal(c):
    """Without what the configuration class says by itself; the program wants the extents said."""
    silent = AutoConfig.for_model(c["model_type"]).to_dict()
    kept = ("model_type", "architectures", "vocab_size", *drawing.EXTENTS)
    return {k: v for k, v in c.items() if k in kept or k not in silent or silent[k] != v}


def random_variants(count, seed, only):
    """Options drawn together: `count` configurations of each family."""
    for family in drawing.FAMILIES:
        for k in range(count):
            name = f"random {seed}.{k} ({family})"
            if only and only not in name:
                continue
            r = random.Random(f"{seed}.{k}.{family}")
            c = drawing.draw(family, r)
            yield name, minimal(c) if r.random() < 0.3 else c, {
                "storage": r.choice((torch.float32, torch.float32, torch.bfloat16, torch.float16)),
                "shards": r.choice((None, "12KB")),
                "keep_written": r.random() < 0.3,
                "seed": k,
            }


def option_variants(seed, only):
    """Every option of each configuration class, changed by itself: it must be followed or refused, never ignored."""
    about_files = ("model_type", "architectures", "transformers_version", "dtype", "id2label", "label2id")
    for family in drawing.FAMILIES:
        c = drawing.draw(family, random.Random(f"{seed}.{family}"))
        for key, value in AutoConfig.for_model(family).to_dict().items():
            if key in about_files or key in drawing.EXTENTS or isinstance(value, (str, list, dict)):
                continue
            if isinstance(value, bool):
                others = (True, False)
            elif isinstance(value, int):
                others = (2, 5)  # norms over one feature are ill-conditioned
            elif isinstance(value, float):
                others = (0.3, 2.0)
            else:
                others = (True, 2, 0.5, 2.5)
            for other in others:
                name = f"option of {family}: {key} = {other}"
                if c.get(key, SILENT) != other and (not only or only in name):
                    yield name, dict(c, **{key: other}), {}


def plans_of(c, name):
    """(plans to compare, those that are to be refused)."""
    thorough = "KV heads" in name or "tied" in name or name.startswith("random")
    plans = [("auto",)] + [("hf",)] * thorough
    if c["model_type"] in drawing.WITH_EXPERTS:
        plans += [("auto", "--ep"), ("auto", "--ep", "--ep-engine", "masked")]
        if c["model_type"] in drawing.DEALT_BY_HF and thorough:
            plans += [("hf", "--ep"), ("hf", "--ep", "--ep-engine", "masked")]
    return plans, [p for p in plans if drawing.refused_by_design(c, p[0], "--ep" in p)]


def one_variant(name, c, options):
    options = dict(options)
    if options.pop("skip", False):
        return
    size = {k: options.pop(k) for k in ("rows", "length") if k in options}
    folder = at("variant")
    try:
        for again in range(50):
            make_checkpoint(folder, c, **options)
            ids, labels = inputs(c, **size)
            with contextlib.redirect_stderr(open(os.devnull, "w")):
                wanted = reference(folder, ids, labels)
            if wanted[-1] > NEAR:
                break
            options["seed"] = options.get("seed", 1) + 1000
    except Exception as problem:  # noqa: BLE001: whatever transformers itself cannot do
        if name.startswith("option"):
            return
        words = " ".join(str(problem).split())[:160]
        r = run("run", folder, "--input", at("in.safetensors"), "--output", at("out.safetensors"))
        print(
            f"  {name}: transformers refuses it ({type(problem).__name__}: {words}); "
            f"the program: exit {r.status} {r.err[:150].strip()}",
            flush=True,
        )
        checks.skipped += 1
        return
    before = checks.failed
    if name.startswith("option"):
        r = run("run", folder, "--input", at("in.safetensors"), "--output", at("out.safetensors"))
        if r.status == 2:
            print(f"  {name}: refused: {' '.join(r.err.split())[:300]}", flush=True)
            checks.that(r.code in (604, 606), f"{name}: followed or refused by name", r)
            return
    plans, refused = plans_of(c, name)
    worst = compare(name, folder, wanted, plans, range(1, 9) if name.startswith("random") else (1, 2, 3, 4), refused)
    if checks.failed > before:
        print(f"  its configuration: {json.dumps(c)}, {options}")
    redrawn = f", {again} drawn again for a router's near tie" if again else ""
    print(f"  {name}: logits {worst[0]:.1e}, loss {worst[1]:.1e}, gradients {worst[2]:.1e}{redrawn}", flush=True)


# ------------------------------------------------------------------------------------------------------- trained checkpoints

TEXT = b"the quick brown fox jumps over the lazy dog, and then it does so once more. " * 60
TRAINED = {
    "llama": models.config("llama", vocab_size=260, attention_bias=True, mlp_bias=True),
    "qwen2": models.config("qwen2", vocab_size=257, tie_word_embeddings=True),
    "qwen3": models.config("qwen3", vocab_size=256, num_key_value_heads=4, head_dim=6),
    "mistral": models.config("mistral", vocab_size=259, sliding_window=5),
    "mistral in bfloat16": models.config("mistral", vocab_size=259, sliding_window=5, dtype="bfloat16"),
}


def trained_checkpoints():
    """Trained and saved here at tp 2, loaded there, saved there, loaded and trained on here."""
    with open(at("text.txt"), "wb") as file:
        file.write(TEXT)
    for name, c in TRAINED.items():
        folder, out, back = at("fresh"), at("trained"), at("back")
        for f in (folder, out, back):
            shutil.rmtree(f, ignore_errors=True)
        models.write_config(folder, c)
        options = ["--data", at("text.txt"), "--batch", 2, "--seq", 16, "--lr", 3e-3, "--tp", 2]
        r = run("train", folder, "--init", 3, "--out", out, "--steps", 20, *options)
        checks.that(r.status == 0, f"{name}: trained at tp 2", r)
        read = AutoConfig.from_pretrained(out)
        checks.that(
            (
                read.model_type == c["model_type"] and read.vocab_size == c["vocab_size"] and read.head_dim == c["head_dim"]
                if hasattr(read, "head_dim")
                else True
            ),
            f"{name}: AutoConfig reads config.json",
        )
        _, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
        checks.that(
            not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"],
            f"{name}: every tensor has its place there",
            info,
        )
        ids, labels = inputs(c, length=17)
        wanted = reference(out, ids, labels)
        worst = compare(f"{name}, trained at tp 2", out, wanted, plans=(("auto",), ("hf",)))
        print(
            f"  {name}, trained and saved at tp=2, in transformers {transformers.__version__}: off by at most: "
            f"logits {worst[0]:.1e}, loss {worst[1]:.1e} of {wanted[1]:.4f}, gradients {worst[2]:.1e}",
            flush=True,
        )
        load(out).to(read.dtype or torch.float32).save_pretrained(back)
        r = run("diff", os.path.join(out, "model.safetensors"), os.path.join(back, "model.safetensors"))
        checks.that(r.status == 0, f"{name}: saved there, the tensors are the same bit for bit", r)
        worst = compare(f"{name}, saved by transformers", back, wanted)
        r = run("train", back, "--out", at("further"), "--steps", 2, *options)
        checks.that(r.status == 0, f"{name}: what transformers saved is trained on here", r)
        r = run("train", back, "--out", at("further"), "--steps", 2, "--resume", *options)
        checks.that(r.status == 0 and "step 4" in r.out, f"{name}: and resumed", r)
        load(at("further"))
        shutil.rmtree(at("further"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=6, help="configurations of each family drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="variants whose name holds this")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    try:
        if not options.only:
            trained_checkpoints()
        drawn = random_variants(options.random, options.seed, options.only)
        for name, c, how in itertools.chain(variants(), option_variants(options.seed, options.only), drawn):
            if not options.only or options.only in name:
                one_variant(name, c, how)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
