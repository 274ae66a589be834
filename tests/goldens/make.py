#!/usr/bin/env python3
"""Makes the goldens of this folder: small random models with logits, loss, every gradient and greedy tokens.

    pip install numpy;                python3 tests/goldens/make.py            # writes every case
    pip install torch transformers;   python3 tests/goldens/make.py --compare  # reads them, and compares with transformers

An implementation of its own, in double precision, written from the papers and sharing nothing with the library. Gradients are
complex steps: dL/dw = Im L(w + ih) / h with h = 1e-30, which subtracts nothing and so is exact to rounding, and needs no backward
pass that could be wrong in the same way as another one.
"""

import json
import math
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, LENGTH, PROMPT, NEW, STEP = 2, 11, 6, 16, 1e-30
LEAST_MARGIN = 0.02  # between the best and the second token: no rounding turns it round

DENSE = {
    "hidden_act": "silu",
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.02,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "dtype": "float32",
    "use_cache": True,
}
CASES = {
    # 12 query heads and 4 KV heads, biases everywhere, llama3 rotation under the newer keys.
    "llama": dict(
        DENSE,
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        vocab_size=41,
        hidden_size=24,
        intermediate_size=22,
        num_attention_heads=12,
        num_key_value_heads=4,
        head_dim=6,
        rms_norm_eps=1e-5,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
    # 8 and 2 heads; the keys of older files, no head_dim, linear rotation.
    "llama_older_keys": {
        **{k: v for k, v in DENSE.items() if k != "dtype"},
        "torch_dtype": "float32",
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 37,
        "hidden_size": 32,
        "intermediate_size": 22,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "linear", "factor": 2.0},
        "pretraining_tp": 1,
        "tie_word_embeddings": False,
    },
    # 6 and 3 heads, tied, biases on q, k and v; the second layer sees five keys.
    "qwen2": dict(
        DENSE,
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        vocab_size=43,
        hidden_size=24,
        intermediate_size=34,
        num_attention_heads=6,
        num_key_value_heads=3,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        use_sliding_window=True,
        sliding_window=5,
        max_window_layers=1,
        layer_types=["full_attention", "sliding_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
    ),
    # An odd number of heads: 7 and 1; a norm on each of them.
    "qwen3": dict(
        DENSE,
        architectures=["Qwen3ForCausalLM"],
        model_type="qwen3",
        vocab_size=39,
        hidden_size=18,
        intermediate_size=30,
        num_attention_heads=7,
        num_key_value_heads=1,
        head_dim=8,
        rms_norm_eps=1e-6,
        attention_bias=False,
        tie_word_embeddings=False,
        use_sliding_window=False,
        sliding_window=None,
        max_window_layers=28,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    # 10 and 5 heads, a window on every layer, yarn.
    "mistral": dict(
        DENSE,
        architectures=["MistralForCausalLM"],
        model_type="mistral",
        vocab_size=40,
        hidden_size=22,
        intermediate_size=28,
        num_attention_heads=10,
        num_key_value_heads=5,
        head_dim=6,
        rms_norm_eps=1e-5,
        sliding_window=4,
        tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 1000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
        },
    ),
}


def head_size(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def rotation(c):
    """(inverse frequencies, what cos and sin are multiplied by)."""
    import numpy as np

    r = dict(c.get("rope_scaling") or {}, **c.get("rope_parameters", {}))
    kind, base, d = r.get("rope_type") or r.get("type", "default"), r.get("rope_theta", c.get("rope_theta")), head_size(c)
    pair = np.arange(d // 2)
    turn = base ** (-2.0 * pair / d)  # radians per position
    if kind == "default":
        return turn, 1.0
    factor = r["factor"]
    if kind == "linear":
        return turn / factor, 1.0
    trained = r["original_max_position_embeddings"]
    if kind == "llama3":  # slow pairs are stretched, fast ones kept, those between blended
        turns = trained * turn / (2 * math.pi)  # over the trained context
        keep = np.clip((turns - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"]), 0, 1)
        return turn * keep + turn / factor * (1 - keep), 1.0
    assert kind == "yarn"  # Peng et al.: a ramp between the pairs that turn beta_fast and beta_slow times

    def pair_of(turns):
        return d * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(pair_of(r["beta_fast"])), 0), min(math.ceil(pair_of(r["beta_slow"])), d - 1)
    stretched = np.clip((pair - low) / max(high - low, 0.001), 0, 1)
    return turn * (1 - stretched) + turn / factor * stretched, 0.1 * math.log(factor) + 1


def windows(c):
    """Keys that each layer sees; 0: all."""
    if c["model_type"] == "mistral":
        return [c["sliding_window"]] * c["num_hidden_layers"]
    if c.get("use_sliding_window"):
        return [c["sliding_window"] if i >= c["max_window_layers"] else 0 for i in range(c["num_hidden_layers"])]
    return [0] * c["num_hidden_layers"]


def forward(c, w, ids):
    """Logits [B, T, V]; `w` may be complex."""
    import numpy as np

    d, heads, groups = head_size(c), c["num_attention_heads"], c["num_key_value_heads"]
    batch, length = ids.shape
    turn, scale = rotation(c)
    angle = np.arange(length)[:, None] * turn
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + c["rms_norm_eps"]) * weight

    def linear(x, name):
        y = x @ w[name + ".weight"].T
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def rotated(x):  # [B, heads, T, d]
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def split(x, n):
        return x.reshape(batch, length, n, d)

    x = w["model.embed_tokens.weight"][ids]
    for i, window in enumerate(windows(c)):
        p = f"model.layers.{i}."
        n = norm(x, w[p + "input_layernorm.weight"])
        q, k, v = (split(linear(n, f"{p}self_attn.{m}_proj"), count) for m, count in (("q", heads), ("k", groups), ("v", groups)))
        if p + "self_attn.q_norm.weight" in w:
            q, k = norm(q, w[p + "self_attn.q_norm.weight"]), norm(k, w[p + "self_attn.k_norm.weight"])
        q, k, v = (y.transpose(0, 2, 1, 3) for y in (q, k, v))
        q, k = rotated(q), rotated(k)
        k, v = (np.repeat(y, heads // groups, axis=1) for y in (k, v))
        score = q @ k.transpose(0, 1, 3, 2) / math.sqrt(d)
        back = np.arange(length)[:, None] - np.arange(length)[None, :]
        seen = (back >= 0) & ((back < window) | (window == 0))
        e = np.where(seen, np.exp(score - np.where(seen, score.real, -np.inf).max(-1, keepdims=True)), 0)
        mixed = (e / e.sum(-1, keepdims=True)) @ v
        x = x + linear(mixed.transpose(0, 2, 1, 3).reshape(batch, length, heads * d), p + "self_attn.o_proj")
        n = norm(x, w[p + "post_attention_layernorm.weight"])
        gate = linear(n, p + "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(n, p + "mlp.up_proj"), p + "mlp.down_proj")
    table = w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
    return norm(x, w["model.norm.weight"]) @ table.T


def loss_of(logits, labels):
    """Mean over positions whose next label is not -100."""
    import numpy as np

    z, target = logits[:, :-1], labels[:, 1:]
    counted = target != -100
    top = z.real.max(-1, keepdims=True)
    total = np.log(np.exp(z - top).sum(-1)) + top[..., 0]
    right = np.take_along_axis(z, np.where(counted, target, 0)[..., None], -1)[..., 0]
    return ((total - right) * counted).sum() / counted.sum()


def shapes(c):
    h, f, d = c["hidden_size"], c["intermediate_size"], head_size(c)
    q, k = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
    out = {"model.embed_tokens.weight": (c["vocab_size"], h), "model.norm.weight": (h,)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = out[p + "post_attention_layernorm.weight"] = (h,)
        for m, rows, columns in (("q", q, h), ("k", k, h), ("v", k, h), ("o", h, q)):
            out[f"{p}self_attn.{m}_proj.weight"] = (rows, columns)
            if c.get("attention_bias") or (c["model_type"] == "qwen2" and m != "o"):
                out[f"{p}self_attn.{m}_proj.bias"] = (rows,)
        if c["model_type"] == "qwen3":
            out[p + "self_attn.q_norm.weight"] = out[p + "self_attn.k_norm.weight"] = (d,)
        for m, rows, columns in (("gate", f, h), ("up", f, h), ("down", h, f)):
            out[f"{p}mlp.{m}_proj.weight"] = (rows, columns)
            if c.get("mlp_bias"):
                out[f"{p}mlp.{m}_proj.bias"] = (rows,)
    if not c["tie_word_embeddings"]:
        out["lm_head.weight"] = (c["vocab_size"], h)
    return dict(sorted(out.items()))


def make(name, c):
    """Everything of one case, from the first seed whose greedy tokens are clear."""
    import numpy as np

    for seed in range(1, 200):
        rng = np.random.default_rng(seed)
        w = {}
        for tensor, shape in shapes(c).items():
            mean, deviation = (
                (1.0, 0.2) if tensor.endswith("norm.weight") else (0.0, 1.2 / math.sqrt(shape[-1]) if len(shape) > 1 else 0.2)
            )
            w[tensor] = rng.normal(mean, deviation, shape).astype(np.float32).astype(np.float64)
        ids = rng.integers(0, c["vocab_size"], (BATCH, LENGTH))
        labels = ids.copy()
        labels[0, :3] = labels[1, 5] = labels[1, LENGTH - 1] = -100
        labels[1, 7] = (labels[1, 7] + 1) % c["vocab_size"]
        text, margin = list(ids[0, :PROMPT]), math.inf
        for _ in range(NEW):
            best = np.sort(forward(c, w, np.array([text]))[0, -1])
            margin = min(margin, best[-1] - best[-2])
            text.append(int(forward(c, w, np.array([text]))[0, -1].argmax()))
        if margin > LEAST_MARGIN and len(set(text[PROMPT:])) >= 4:
            break
    logits = forward(c, w, ids)
    gradients = {}
    changed = {tensor: value.astype(complex) for tensor, value in w.items()}
    for tensor, value in changed.items():
        g, flat = np.zeros(value.size), value.reshape(-1)
        for i in range(value.size):
            flat[i] += 1j * STEP
            g[i] = loss_of(forward(c, changed, ids), labels).imag / STEP
            flat[i] = flat[i].real
        gradients[tensor] = g.reshape(value.shape)
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        file.write(json.dumps(c, indent=2) + "\n")
    single = np.float32
    write(os.path.join(folder, "model.safetensors"), {k: v.astype(single) for k, v in w.items()})
    write(os.path.join(folder, "grads.safetensors"), {k: v.astype(single) for k, v in gradients.items()})
    write(
        os.path.join(folder, "io.safetensors"),
        {
            "input_ids": ids,
            "labels": labels,
            "logits": logits.astype(single),
            "loss": np.array(loss_of(logits, labels), single),
            "greedy": np.array(text[PROMPT:]),
        },
    )
    with open(os.path.join(folder, "case.json"), "w") as file:
        file.write(json.dumps({"seed": seed, "prompt": PROMPT, "greedy_margin": round(float(margin), 4)}) + "\n")
    print(
        f"{name}: seed {seed}, {sum(v.size for v in w.values())} parameters, loss {loss_of(logits, labels):.4f}, "
        f"margin {margin:.3f}"
    )


def write(path, arrays):
    import numpy as np

    header, blob = {"__metadata__": {"format": "pt"}}, b""
    for name, a in arrays.items():
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {
            "dtype": "F32" if a.dtype == np.float32 else "I64",
            "shape": list(a.shape),
            "data_offsets": [len(blob), len(blob) + len(raw)],
        }
        blob += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob)


def compare(name):
    """transformers, on the same files."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    folder = os.path.join(HERE, name)
    io, gradients = load_file(os.path.join(folder, "io.safetensors")), load_file(os.path.join(folder, "grads.safetensors"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    out = model(input_ids=io["input_ids"], labels=io["labels"], use_cache=False)
    out.loss.backward()
    whole = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients.values()))
    far = max(
        float((p.grad - gradients[n]).norm()) / max(float(gradients[n].norm()), 1e-4 * whole) for n, p in model.named_parameters()
    )
    made = model.generate(
        io["input_ids"][:1, :PROMPT], max_new_tokens=NEW, do_sample=False, attention_mask=torch.ones(1, PROMPT, dtype=torch.long)
    )
    figures = (out.logits - io["logits"]).abs().max().item(), abs((out.loss - io["loss"]).item()), far
    good = figures[0] < 1e-4 and figures[1] < 1e-5 and far < 1e-3 and made[0, PROMPT:].tolist() == io["greedy"].tolist()
    print(
        f"{name}: logits {figures[0]:.1e}, loss {figures[1]:.1e}, gradients {far:.1e}, "
        + ("greedy tokens equal" if good else "a bound is NOT kept, or greedy tokens differ")
    )
    return good


if __name__ == "__main__":
    chosen = [a for a in sys.argv[1:] if not a.startswith("--")] or list(CASES)
    if "--compare" in sys.argv:
        sys.exit(0 if all([compare(n) for n in chosen]) else 1)
    for n in chosen:
        make(n, CASES[n])
