"""Small random checkpoints of the families, as transformers would write them.

models.write(folder, models.config("llama"))                       # config.json and model.safetensors
models.write(folder, models.config("qwen2", vocab_size=300), seed=3)
"""

import array
import json
import os
import random

from . import tensors

CLASSES = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "mistral": "Mistral"}


def config(family, **changes):
    """12 query and 12 KV heads: 1, 2, 3, 4, 6 and 12 ranks share them. A change to None removes the key."""
    c = {
        "architectures": [f"{CLASSES[family]}ForCausalLM"],
        "model_type": family,
        "vocab_size": 61,
        "hidden_size": 24,
        "intermediate_size": 26,
        "num_hidden_layers": 2,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "head_dim": 4,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "initializer_range": 0.02,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "dtype": "float32",
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if family == "llama":
        c.update(attention_bias=False, mlp_bias=False)
    if family == "qwen3":
        c.update(attention_bias=False)
    if family == "mistral":
        c.update(sliding_window=None)
    if family.startswith("qwen"):
        c.update(use_sliding_window=False, max_window_layers=28, sliding_window=None)
    for key, value in changes.items():
        if value is None and key not in ("sliding_window", "pad_token_id", "eos_token_id"):
            c.pop(key, None)
        else:
            c[key] = value
    return c


def shapes(c):
    """{tensor name: shape}, in the order of the layers."""
    h, f, v, d = c["hidden_size"], c["intermediate_size"], c["vocab_size"], c["head_dim"]
    q, k = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
    family = c["model_type"]
    out = {"model.embed_tokens.weight": [v, h]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = [h]
        for name, rows, columns in (("q_proj", q, h), ("k_proj", k, h), ("v_proj", k, h), ("o_proj", h, q)):
            out[f"{p}self_attn.{name}.weight"] = [rows, columns]
            if c.get("attention_bias") or (family == "qwen2" and name != "o_proj"):
                out[f"{p}self_attn.{name}.bias"] = [rows]
        if family == "qwen3":
            out[p + "self_attn.q_norm.weight"] = [d]
            out[p + "self_attn.k_norm.weight"] = [d]
        out[p + "post_attention_layernorm.weight"] = [h]
        for name, rows, columns in (("gate_proj", f, h), ("up_proj", f, h), ("down_proj", h, f)):
            out[f"{p}mlp.{name}.weight"] = [rows, columns]
            if c.get("mlp_bias"):
                out[f"{p}mlp.{name}.bias"] = [rows]
    out["model.norm.weight"] = [h]
    if not c.get("tie_word_embeddings"):
        out["lm_head.weight"] = [v, h]
    return out


def weights(c, seed=1, scale=0.25):
    """Norms near one, the rest normal; the same on every machine."""
    random_numbers = random.Random(seed)
    out = {}
    for name, shape in shapes(c).items():
        n = 1
        for extent in shape:
            n *= extent
        centre, width = (1.0, 0.1) if name.endswith("norm.weight") else (0.0, scale)
        out[name] = tensors.floats(shape, (random_numbers.gauss(centre, width) for _ in range(n)))
    return out


def write_config(folder, c):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(c, file, indent=2)


def write(folder, c, seed=1, dtype="F32"):
    write_config(folder, c)
    made = {name: tensors.as_dtype(t, dtype) for name, t in weights(c, seed).items()}
    tensors.write(os.path.join(folder, "model.safetensors"), made)
    return made


def token_rows(c, rows=2, length=9, seed=7):
    random_numbers = random.Random(seed)
    return [[random_numbers.randrange(c["vocab_size"]) for _ in range(length)] for _ in range(rows)]


def write_input(path, c, rows=2, length=9, seed=7, labels=True):
    """Token ids, and labels of which two positions are ignored."""
    made = token_rows(c, rows, length, seed)
    out = {"input_ids": tensors.ids(made)}
    if labels:
        targets = [list(r) for r in made]
        targets[0][1] = targets[-1][length - 1] = -100
        out["labels"] = tensors.ids(targets)
    tensors.write(path, out)
    return out


def plain_loss(logits, labels):
    """Mean cross-entropy of the next token, in double: what the file says, counted again."""
    import math

    (batch, length, vocab), values, targets = logits.shape, logits.values, labels.values
    total, count = 0.0, 0
    for b in range(batch):
        for t in range(length - 1):
            target = targets[b * length + t + 1]
            if target == -100:
                continue
            at = (b * length + t) * vocab
            row = values[at : at + vocab]
            top = max(row)
            total += top + math.log(sum(math.exp(x - top) for x in row)) - row[target]
            count += 1
    return total / count if count else float("nan")


def doubles(values):
    return array.array("d", values)
