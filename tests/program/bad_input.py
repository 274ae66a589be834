#!/usr/bin/env python3
"""What cannot be carried out is refused: one line with a code on standard error, exit status 2, nothing left or changed.

python3 tests/program/bad_input.py            # where a refusal says how to mend it, that is tried too
"""

import array
import contextlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

from support import models, tensors
from support.program import PROGRAM, Answer, Checks, run, scratch_folder, snapshot

checks = Checks("bad_input")
scratch = scratch_folder()


def at(*names):
    return os.path.join(scratch, *names)


def text(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)
    return path


def refused(label, code, *arguments, says=(), fixed=None, silent=True, **options):
    """`code`: a number or several. `says`: what the line must name. `fixed`: arguments that follow its advice and succeed."""
    before = snapshot(scratch)
    try:
        r = run(*arguments, **options)
    except subprocess.TimeoutExpired:
        checks.that(False, f"{label}: ends within two minutes")
        return None
    codes = code if isinstance(code, (tuple, list)) else (code,)
    checks.that(
        r.status == 2 and r.code in codes, f"{label}: refused with SP{'/'.join(f'{c:03}' for c in codes)}, one line, exit 2", r
    )
    checks.that(not silent or r.out == "", f"{label}: nothing on standard output", r)
    after = snapshot(scratch)
    changed = sorted(k for k in set(before) | set(after) if before.get(k) != after.get(k))
    checks.that(not changed, f"{label}: nothing is left behind or changed, but {changed} is", r)
    for word in [says] if isinstance(says, str) else says:
        checks.that(word in r.err, f"{label}: the line names {word}", r)
    if fixed is not None:
        after_fix = run(*fixed, **options)
        checks.that(after_fix.status == 0, f"{label}: its advice, followed, succeeds", f"{r}\n  {after_fix}")
        shutil.rmtree(at("made"), ignore_errors=True)
        os.makedirs(at("made"))
    return r


C = models.config("llama", num_key_value_heads=6, vocab_size=260)
GOOD = at("good")
WEIGHTS = models.write(GOOD, C)
IDS = at("in.safetensors")
models.write_input(IDS, C)
TEXT = text(at("text.txt"), bytes(range(32, 127)) * 20)
PLAN = text(
    at("plan.json"),
    json.dumps({"layers.*.mlp.up_proj": "colwise", "layers.*.mlp.gate_proj": "colwise", "layers.*.mlp.down_proj": "rowwise"}),
)
os.makedirs(at("made"))
OUT = at("made", "out.safetensors")
RUN = ["run", GOOD, "--input", IDS, "--output", OUT]
GENERATE = ["generate", GOOD, "--tokens", "1,2,3", "--new", "2"]
TRAIN = ["train", GOOD, "--data", TEXT, "--out", at("made", "trained"), "--steps", "1", "--batch", "1", "--seq", "8"]


def on(folder, verb=RUN):
    """The same call on another checkpoint folder."""
    return [verb[0], folder, *verb[2:]]


def folder_with(name, config=None, weights=None, raw=None):
    """A copy of the good folder with another configuration (a dictionary or a text) or other weights."""
    path = at("case", name)
    os.makedirs(path, exist_ok=True)
    text(os.path.join(path, "config.json"), config if isinstance(config, (str, bytes)) else json.dumps(config or C))
    if raw is not None:
        text(os.path.join(path, "model.safetensors"), raw)
    else:
        tensors.write(os.path.join(path, "model.safetensors"), weights if weights is not None else WEIGHTS)
    return path


@contextlib.contextmanager
def somebody():
    """Options of a call that permissions bind: root becomes nobody. None where that cannot be."""
    if os.geteuid() != 0:
        yield {}
        return

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    os.chmod(scratch, 0o755)
    try:
        r = run(*RUN[:-1], "/nowhere/x", preexec_fn=become_nobody)
        able = r.code == 608
    except (OSError, subprocess.SubprocessError):
        able = False
    if not able:
        checks.skip("files without permission", "root reads and writes everything, and nobody cannot run the program here")
    yield {"preexec_fn": become_nobody} if able else None


def good_calls():
    """Else a refusal below would prove nothing."""
    for arguments in (
        RUN,
        RUN + ["--grad", "--tp", "2"],
        GENERATE,
        TRAIN,
        ["explain", GOOD],
        ["check", PLAN, "--model", GOOD],
        ["diff", IDS, IDS],
    ):
        r = run(*arguments)
        checks.that(r.status == 0, "a good call succeeds", r)
    shutil.rmtree(at("made"))
    os.makedirs(at("made"))


def usage():
    refused("no verb", 1)
    refused("an unknown verb", 1, "rum")
    refused("an unknown option", 1, *RUN, "--tq", "2", says="--tq")
    refused("no folder", 1, "run")
    refused("no --input", 1, "run", GOOD, "--output", OUT, says="--input", fixed=RUN)
    for word in ("x", "", "1.5", "0x", "99999999999999999999", "2 2", "²"):
        refused(f"--tp {word!r}", 1, *RUN, "--tp", word)
        refused(f"explain --tp {word!r}", 1, "explain", GOOD, "--tp", word)
    for verb in (RUN, GENERATE, TRAIN, ["explain", GOOD], ["check", PLAN, "--model", GOOD]):
        for n in ("0", "-1", "-2147483648"):
            refused(f"{verb[0]} --tp {n}", 1, *verb, "--tp", n, says="--tp", fixed=[*verb, "--tp", "1"])
    for verb in (RUN, GENERATE, TRAIN, ["explain", GOOD]):
        for n in ("5", "7", "13", "100000"):
            refused(
                f"{verb[0]} --tp {n}",
                105,
                *verb,
                "--tp",
                n,
                says=["q_heads = 12", "legal 1, 2, 3, 6, 12"],
                fixed=[*verb, "--tp", "3"],
            )
        refused(f"{verb[0]} --engine mpi", 606, *verb, "--engine", "mpi", fixed=[*verb, "--engine", "threads"])
        refused(f"{verb[0]} --engine carrier_pigeon", 606, *verb, "--engine", "carrier_pigeon")
        refused(f"{verb[0]} --device tpu", 606, *verb, "--device", "tpu", fixed=[*verb, "--device", "cpu"])
        refused(f"{verb[0]} --dtype int8", 606, *verb, "--dtype", "int8", says="int8", fixed=[*verb, "--dtype", "f32"])
        refused(f"{verb[0]} --ep", 606, *verb, "--ep", fixed=verb)
        cut = [*verb, "--tp", "2", "--sequence-parallel"]
        refused(f"{verb[0]} --sequence-parallel of a model that is whole", 606, *cut, "--plan", "none", fixed=cut)
        if verb[0] in ("run", "train"):
            refused(f"{verb[0]} --dp 0", 1, *verb, "--dp", "0", fixed=[*verb, "--dp", "2"])
            refused(f"{verb[0]} with more ranks than there may be", 1, *verb, "--dp", "5000")
        refused(f"{verb[0]} --timeout 0", 1, *verb, "--timeout", "0", fixed=[*verb, "--timeout", "5"])
    refused("too many ranks under a plan that cuts nothing", 1, *RUN, "--plan", "none", "--tp", "5000")
    for tokens in ("", "x", "1,,2", "1,", ",1", "1 2", "1,260", "-1", "99999999999999999999", "1;2"):
        refused(f"--tokens {tokens!r}", 1, "generate", GOOD, "--tokens", tokens)
    refused(
        "--new -1", 1, "generate", GOOD, "--tokens", "1", "--new", "-1", fixed=["generate", GOOD, "--tokens", "1", "--new", "0"]
    )
    refused("--batch 0", 1, "explain", GOOD, "--batch", "0", fixed=["explain", GOOD, "--batch", "1"])
    refused("--seq -3", 1, "explain", GOOD, "--seq", "-3")
    refused("--rtol -1", 1, "diff", IDS, IDS, "--rtol", "-1", fixed=["diff", IDS, IDS, "--rtol", "0"])
    refused("--atol nan", 1, "diff", IDS, IDS, "--atol", "nan")
    refused("check --tp without a model", 1, "check", PLAN, "--tp", "2", fixed=["check", PLAN, "--tp", "2", "--model", GOOD])


def files_of_weights():
    with open(os.path.join(GOOD, "model.safetensors"), "rb") as file:
        whole = file.read()
    (length,) = struct.unpack("<Q", whole[:8])
    cuts = {
        0,
        1,
        7,
        8,
        9,
        8 + length // 2,
        8 + length - 1,
        8 + length,
        8 + length + 1,
        (8 + length + len(whole)) // 2,
        len(whole) - 4,
        len(whole) - 1,
    }
    for n in sorted(cuts):
        for verb in (RUN, GENERATE, TRAIN):
            refused(
                f"{verb[0]}, weights cut to {n} bytes",
                601,
                *on(folder_with("cut", raw=whole[:n]), verb),
                says="model.safetensors",
            )
    refused("weights followed by a byte", 601, *on(folder_with("cut", raw=whole + b"\0")))
    for n in (2**63, 2**64 - 1, 2**40, len(whole), 0):
        refused(f"a header of {n} bytes", 601, *on(folder_with("cut", raw=struct.pack("<Q", n) + whole[8:])))
    broken = bytearray(whole)
    broken[20] = 0xFF
    refused("a header that is no UTF-8", 601, *on(folder_with("cut", raw=bytes(broken))))
    refused("weights that are text", 601, *on(folder_with("cut", raw=b"version https://git-lfs.github.com/spec/v1\n" * 3)))

    def header(**entries):
        words = json.dumps(entries).encode()
        return struct.pack("<Q", len(words)) + words

    float4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    refused("overlapping tensors", 601, *on(folder_with("bad", raw=header(a=float4, b=float4) + bytes(4))))
    refused(
        "a hole between tensors",
        601,
        *on(folder_with("bad", raw=header(a=float4, b=dict(float4, data_offsets=[8, 12])) + bytes(12))),
    )
    refused("a shape that does not fit", 601, *on(folder_with("bad", raw=header(a=dict(float4, shape=[2])) + bytes(4))))
    refused("an unknown dtype", 601, *on(folder_with("bad", raw=header(a=dict(float4, dtype="F33")) + bytes(4))), says="F33")
    twice = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    refused("a name twice", 601, *on(folder_with("bad", raw=struct.pack("<Q", len(twice)) + twice + bytes(8))), says="twice")

    for name in (
        "model.embed_tokens.weight",
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.0.input_layernorm.weight",
        "model.norm.weight",
        "lm_head.weight",
    ):
        for tp in (1, 2):
            hf = () if tp == 1 else ("--plan", "hf")  # its notes are kept back
            refused(
                f"{name} missing, tp {tp}",
                602,
                *on(folder_with("missing", weights={k: v for k, v in WEIGHTS.items() if k != name})),
                *hf,
                "--tp",
                tp,
                says=name,
            )
    refused("every tensor missing", 602, *on(folder_with("missing", weights={})))
    refused("biases missing", 602, *on(folder_with("missing", dict(C, attention_bias=True))), says="q_proj.bias", fixed=RUN)
    untied = {k: v for k, v in WEIGHTS.items() if k != "lm_head.weight"}
    tied = folder_with("tied", dict(C, tie_word_embeddings=True), untied)
    refused("a tied model called untied", 602, *on(folder_with("missing", weights=untied)), says="lm_head.weight", fixed=on(tied))

    q = "model.layers.1.self_attn.q_proj.weight"
    for shape in ([24, 48], [48], [48, 24, 1], [1, 48, 24], [47, 24]):
        n = 1
        for extent in shape:
            n *= extent
        changed = dict(WEIGHTS, **{q: tensors.floats(shape, [0.0] * n)})
        refused(
            f"q_proj of shape {shape}",
            603,
            *on(folder_with("shape", weights=changed)),
            "--tp",
            "2",
            says=[q, "[48, 24]"],
            fixed=RUN,
        )
    refused("one KV head too few in the configuration", 603, *on(folder_with("shape", dict(C, num_key_value_heads=3))), fixed=RUN)
    refused("a vocabulary too large in the configuration", 603, *on(folder_with("shape", dict(C, vocab_size=300))))
    refused(
        "one layer too many in the configuration",
        602,
        *on(folder_with("shape", dict(C, num_hidden_layers=3))),
        says="model.layers.2.",
        fixed=RUN,
    )
    integers = tensors.Tensor("I64", [48, 24], array.array("q", [1] * 48 * 24))
    refused(
        "integers for weights", 603, *on(folder_with("type", weights=dict(WEIGHTS, **{q: integers}))), says=[q, "I64"], fixed=RUN
    )
    raw = tensors.image(WEIGHTS).replace(b'"F32"', b'"I32"', 1)
    refused("I32 for one tensor", 603, *on(folder_with("type", raw=raw)))
    eighth = tensors.image({k: tensors.Tensor("U8", t.shape, array.array("B", bytes(len(t.values)))) for k, t in WEIGHTS.items()})
    (length,) = struct.unpack("<Q", eighth[:8])
    header8 = eighth[8 : 8 + length].rstrip().replace(b'"U8"', b'"F8_E4M3"')
    refused(
        "weights in 8 bits",
        603,
        *on(folder_with("type", raw=struct.pack("<Q", len(header8)) + header8 + eighth[8 + length :])),
        says="F8_E4M3",
    )

    # Several files with an index.
    names = list(WEIGHTS)
    first, second = names[:9], names[9:]

    def sharded(weight_map, total=1, files=None):
        path = at("case", "sharded")
        shutil.rmtree(path, ignore_errors=True)
        models.write_config(path, C)
        for name, part in ({"a.safetensors": first, "b.safetensors": second} if files is None else files).items():
            tensors.write(os.path.join(path, name), {k: WEIGHTS[k] for k in part})
        text(
            os.path.join(path, "model.safetensors.index.json"),
            (
                weight_map
                if isinstance(weight_map, str)
                else json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map})
            ),
        )
        return path

    right = {**{k: "a.safetensors" for k in first}, **{k: "b.safetensors" for k in second}}
    r = run(*on(sharded(right)))
    checks.that(r.status == 0, "two files with an index are read", r)
    os.remove(OUT)
    refused("a file of the index is missing", 608, *on(sharded({**right, names[0]: "c.safetensors"})), says="c.safetensors")
    refused("the index names the wrong file", 601, *on(sharded({**right, names[0]: "b.safetensors"})), says=names[0])
    refused(
        "a tensor is in two files",
        601,
        *on(sharded(right, files={"a.safetensors": first, "b.safetensors": second + first[:1]})),
        says=first[0],
    )
    for what, wrong in (
        ("is no JSON", "{"),
        ("is empty", ""),
        ("is a list", "[]"),
        ("has no weight_map", "{}"),
        ("has a weight_map of numbers", '{"weight_map": {"a": 1}}'),
        ("leads out of the folder", '{"weight_map": {"a": "../good/model.safetensors"}}'),
        ("has an empty weight_map", '{"weight_map": {}}'),
    ):
        refused(f"an index that {what}", 601, *on(sharded(wrong)), says="index")
    refused("no weights at all", 608, *on(sharded(right, files={})))
    shutil.rmtree(at("case", "sharded"))
    models.write_config(at("case", "empty"), C)
    refused("a folder with a configuration alone", 608, *on(at("case", "empty")))
    refused("no such folder", 608, *on(at("nowhere")))
    refused("a file for a folder", 608, *on(IDS))
    refused("a folder that is empty", 608, *on(os.path.dirname(text(at("case", "none", "x"), ""))))
    os.makedirs(at("case", "folder", "model.safetensors"), exist_ok=True)
    models.write_config(at("case", "folder"), C)
    refused("a folder called model.safetensors", 608, *on(at("case", "folder")))
    os.makedirs(at("case", "pipe"), exist_ok=True)
    models.write_config(at("case", "pipe"), C)
    os.mkfifo(at("case", "pipe", "model.safetensors"))
    refused("a FIFO called model.safetensors", 608, *on(at("case", "pipe")))
    with somebody() as options:
        if options is not None:
            for name in ("model.safetensors", "config.json"):
                os.chmod(os.path.join(folder_with("locked"), name), 0)
                refused(f"{name} without permission", 608, *on(at("case", "locked")), says=[name, "Permission"], **options)
                os.chmod(at("case", "locked", name), 0o644)


def configurations():
    def config(label, code, says=(), verb=RUN, fixed=RUN, **changes):
        c = dict(C)
        for key, value in changes.items():
            c.pop(key, None)
            if value is not ...:
                c[key] = value
        return refused(label, code, *on(folder_with("config", c), verb), says=says, fixed=fixed)

    config("an unknown model_type", 605, ["mamba", "granite, llama, llama4_text, longcat_flash, mistral"], model_type="mamba")
    config("no model_type", 604, "model_type", model_type=...)
    config("model_type of another kind", 604, "model_type", model_type=3)
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        config(f"no {key}", 604, key, **{key: ...})
        for value in (0, -1, 1.5, "24", True, [24], {}, 10**30):
            config(f"{key} {value!r}", 604, key, **{key: value})
    config(
        "an unknown key",
        607,
        "rope_thetta",
        fixed=[*on(folder_with("allowed", dict(C, rope_thetta=1.0))), "--allow-key", "rope_thetta"],
        rope_thetta=1.0,
    )
    config("an unknown key of another kind", 607, "attn_logit_softcapping", attn_logit_softcapping=50.0)
    config(
        "an unknown key in rope_parameters",
        607,
        "rope_parameters.fctor",
        rope_parameters={"rope_type": "linear", "factor": 2.0, "fctor": 2.0},
    )
    config("an unknown rope type", 606, "spiral", rope_parameters={"rope_type": "spiral"})
    config("an unknown activation", 606, "softsign", hidden_act="softsign")
    config("an encoder tied to the decoder", 606, "tie_encoder_decoder", tie_encoder_decoder=True)
    config("an 8-bit dtype", 606, "float8_e4m3fn", dtype="float8_e4m3fn")
    config("quantised weights", 606, "quantization_config", quantization_config={"bits": 4})
    config("heads that KV heads do not divide", 604, "num_key_value_heads", num_key_value_heads=5)
    config("an odd head_dim", 604, "head_dim", head_dim=5)
    config("a negative eps", 604, "rms_norm_eps", rms_norm_eps=-1e-6)
    config("linear without a factor", 604, "factor", rope_parameters={"rope_type": "linear"})
    config("rope_theta 0", 604, "rope_theta", rope_parameters={"rope_type": "default", "rope_theta": 0})
    config("a pad token outside", 604, "pad_token_id", pad_token_id=260)
    config("a window on a llama", 606, "sliding_window", sliding_window=4)
    for what, content in (
        ("empty", ""),
        ("cut", json.dumps(C)[:40]),
        ("a list", "[1]"),
        ("null", "null"),
        ("no UTF-8", b'{"model_type": "\xff"}'),
        ("binary", bytes(range(256))),
        ("one with a key twice", '{"model_type": "llama", "model_type": "llama"}'),
        ("deep", "[" * 100000),
        ("one with a comment", '{"model_type": "llama" // x\n}'),
        ("one with NaN", '{"model_type": "llama", "rms_norm_eps": NaN}'),
    ):
        for verb in (RUN, TRAIN, ["explain", GOOD], ["check", PLAN, "--model", GOOD]):
            arguments = (
                ["check", PLAN, "--model", folder_with("config", content)]
                if verb[0] == "check"
                else on(folder_with("config", content), verb)
            )
            refused(f"{verb[0]}, a configuration that is {what}", 604, *arguments, says="config.json")
    text(at("case", "config", "config.json"), json.dumps(C))
    text(at("case", "config", "generation_config.json"), "{")
    refused("a malformed generation_config.json", 604, *on(at("case", "config"), GENERATE), says="generation_config.json")
    os.remove(at("case", "config", "generation_config.json"))
    os.remove(at("case", "config", "config.json"))
    refused("no configuration", 608, *on(at("case", "config")), says="config.json")


def plans():
    good = json.load(open(PLAN))

    def plan(label, code, content, says=(), model=GOOD, tp=2):
        path = text(at("bad_plan.json"), content if isinstance(content, (str, bytes)) else json.dumps(content))
        return refused(label, code, *on(model), "--plan", path, "--tp", tp, says=says, fixed=[*RUN, "--plan", PLAN, "--tp", tp])

    for what, content in (
        ("empty", ""),
        ("cut", '{"a": "colwi'),
        ("a list", "[]"),
        ("a number", "3"),
        ("no UTF-8", b'{"\xff": "colwise"}'),
        ("one with numbers", '{"layers.*.mlp.up_proj": 1}'),
        ("one with null", '{"layers.*.mlp.up_proj": null}'),
        ("deep", '{"a":' * 50000),
        ("one with a rule twice", '{"lm_head": "colwise", "lm_head": "colwise"}'),
        ("followed by text", json.dumps(good) + " x"),
        ("binary", bytes(range(256))),
    ):
        plan(f"a plan that is {what}", (206, 203), content)
    plan("an unknown style", 205, dict(good, lm_head="colwize"), says=["colwize", "colwise"])
    plan("a style in capitals", 205, dict(good, lm_head="COLWISE"), says="COLWISE")
    plan("an empty style", 205, dict(good, lm_head=""))
    for pattern in (
        "",
        ".",
        "layers..mlp.up_proj",
        "layers.*.mlp.",
        "layers.**.mlp.up_proj",
        "layers.*x.mlp.up_proj",
        "layers.9.mlp.up_proj",
        "lay ers.*.mlp.up_proj",
        "??lm_head",
        "layers.[0-9].mlp.up_proj",
        "x" * 5000,
    ):
        plan(f"the pattern {pattern[:40]!r}", (206, 202), {pattern: "colwise"})
    plan("a rule without a layer", 202, dict(good, **{"layers.*.mlp.upp_proj": "colwise"}), says=["upp_proj", "up_proj"])
    plan("a rule of another family", 202, dict(good, **{"layers.*.mlp.experts.gate_up_proj": "packed_colwise"}))
    plan("two rules for a layer", 203, dict(good, **{"model.layers.*.mlp.up_proj": "colwise"}), says="up_proj")
    plan("a style that does not suit", 204, dict(good, **{"norm": "rowwise"}), says=["norm", "rowwise"])
    plan("gate and up placed apart", (101, 102), {"layers.*.mlp.gate_proj": "colwise", "layers.*.mlp.down_proj": "rowwise"})
    plan("a rowwise layer that is fed whole", 101, {"layers.*.mlp.down_proj": "rowwise"}, says="down_proj")
    plan("a sum that is never added up", (101, 102, 103, 104), {**good, "layers.*.mlp.down_proj": "rowwise_partial"})
    plan(
        "queries without keys", (101, 102, 105), {"layers.*.self_attn.q_proj": "colwise", "layers.*.self_attn.o_proj": "rowwise"}
    )
    heads = {f"layers.*.self_attn.{m}_proj": "colwise" for m in "qkv"}
    plan("a heads that are never brought together", 101, heads)
    plan(
        "ranks that cannot share the heads",
        105,
        {**heads, "layers.*.self_attn.o_proj": "rowwise"},
        says="legal 1, 2, 3, 6, 12",
        tp=5,
    )
    tied = folder_with("tied", dict(C, tie_word_embeddings=True), {k: v for k, v in WEIGHTS.items() if k != "lm_head.weight"})
    plan("a tied table that lies otherwise than its head", (404, 101), {"lm_head": "colwise"}, model=tied)
    refused("no such plan", 608, *RUN, "--plan", at("nowhere.json"), says="nowhere.json")
    refused("a folder for a plan", 608, *RUN, "--plan", GOOD)
    refused("check of no plan", 608, "check", at("nowhere.json"))
    refused("check of a text that is no plan", 206, "check", TEXT)
    refused("check of a list", 206, "check", text(at("bad_plan.json"), "[]"))
    # `check` answers "no" instead: status 1, a line for each finding.
    found = text(
        at("bad_plan.json"),
        json.dumps(dict(good, lm_head="colwize", **{"layers.*.mlp.upp_proj": "colwise", "layers.*.x*": "colwise"})),
    )
    r = run("check", found, "--model", GOOD, "--tp", "2")
    checks.that(r.status == 1 and all(f"[SP{n}]" in r.out for n in (205, 202, 206)), "check lists every finding, exit 1", r)
    os.remove(at("bad_plan.json"))


def inputs():
    def given(label, code, content, *more, says=(), fixed=RUN):
        path = at("bad_in.safetensors")
        if isinstance(content, bytes):
            text(path, content)
        else:
            tensors.write(path, content)
        refused(label, code, "run", GOOD, "--input", path, "--output", OUT, *more, says=says, fixed=fixed)

    rows = models.token_rows(C)
    ids = tensors.ids(rows)

    def i64(shape, values):
        return tensors.Tensor("I64", shape, array.array("q", values))

    given("no input_ids", 602, {"labels": ids}, says="input_ids")
    given("an empty file", 601, b"")
    given("a header alone", 601, tensors.image({"input_ids": ids})[:30])
    given("half of the ids", 601, tensors.image({"input_ids": ids})[:-8])
    given("ids of one dimension", 603, {"input_ids": i64([3], [1, 2, 3])}, says="input_ids")
    given("ids of three dimensions", 603, {"input_ids": i64([1, 3, 1], [1, 2, 3])}, says="input_ids")
    given("ids as I32", 603, {"input_ids": tensors.Tensor("I32", [1, 3], array.array("i", [1, 2, 3]))}, says="I32")
    given("ids as F32", 603, {"input_ids": tensors.floats([1, 3], [1, 2, 3])}, says="F32")
    given("no rows", 1, {"input_ids": i64([0, 4], [])}, says="input_ids")
    given("no columns", 1, {"input_ids": i64([2, 0], [])}, says="input_ids")
    for wrong in (-1, -100, 260, 2**40, -(2**63), 2**63 - 1):
        given(f"token {wrong}", 1, {"input_ids": i64([1, 3], [1, wrong, 2])}, "--tp", "2", says=[str(wrong), "260"])
    for wrong in (-1, -99, 260, 2**40):
        given(
            f"label {wrong}",
            1,
            {"input_ids": i64([1, 3], [1, 2, 3]), "labels": i64([1, 3], [1, 2, wrong])},
            "--grad",
            says=str(wrong),
        )
    given("labels of another shape", 603, {"input_ids": ids, "labels": tensors.ids([r[:-1] for r in rows])}, says="labels")
    given("labels as F32", 603, {"input_ids": i64([1, 3], [1, 2, 3]), "labels": tensors.floats([1, 3], [1, 2, 3])}, says="labels")
    given(
        "labels that are all ignored",
        1,
        {"input_ids": i64([1, 3], [1, 2, 3]), "labels": i64([1, 3], [4, -100, -100])},
        says="labels",
    )
    given("labels of one column", 1, {"input_ids": i64([2, 1], [1, 2]), "labels": i64([2, 1], [1, 2])}, says="labels")
    given("--grad without labels", 1, {"input_ids": ids}, "--grad", says="labels", fixed=RUN + ["--grad"])
    given("positions", 606, {"input_ids": ids, "position_ids": ids}, says="position_ids")
    holes = i64([2, 9], [1] * 17 + [0])
    given("a mask that hides a token", 606, {"input_ids": ids, "attention_mask": holes}, says="attention_mask")
    tensors.write(at("bad_in.safetensors"), {"input_ids": ids, "attention_mask": i64([2, 9], [1] * 18)})
    r = run("run", GOOD, "--input", at("bad_in.safetensors"), "--output", OUT)
    checks.that(r.status == 0, "a mask that hides nothing is accepted", r)
    os.remove(OUT)
    os.remove(at("bad_in.safetensors"))
    refused("no input", 608, "run", GOOD, "--input", at("nowhere"), "--output", OUT, says="nowhere")
    refused("a folder for input", 608, "run", GOOD, "--input", GOOD, "--output", OUT)
    refused("diff with nothing", 608, "diff", IDS, at("nowhere"), says="nowhere")
    refused("diff with a text", 601, "diff", IDS, TEXT)
    refused("diff with an empty folder", 608, "diff", IDS, at("made"))


def outputs():
    def out(path, *more, code=608, says=(), fixed=RUN, **options):
        return refused(
            f"output {os.path.basename(path) or path}, {' '.join(map(str, more))}",
            code,
            "run",
            GOOD,
            "--input",
            IDS,
            "--output",
            path,
            *more,
            says=says,
            fixed=fixed,
            **options,
        )

    out(at("made"), says="directory")
    out(at("nowhere", "out.safetensors"), says="No such file")
    out("", code=(1, 608))
    out(at("in.safetensors", "x"))
    out(at("made", "x" * 300), says="too long")
    out(IDS, code=1, says="in.safetensors")
    out(os.path.join(GOOD, "model.safetensors"), code=1, says="model.safetensors")
    out(os.path.join(GOOD, "config.json"), code=1, says="config.json")
    os.symlink(IDS, at("link"))
    out(at("link"), code=1)
    os.remove(at("link"))
    os.symlink(at("nothing"), at("link"))
    out(at("link"), says="link")
    os.remove(at("link"))
    out("/dev/null", says="regular")
    out("/proc/shardproof")
    out(OUT, "--stats", OUT, code=1, fixed=RUN + ["--stats", at("made", "s.json")])
    out(OUT, "--stats", at("nowhere", "s.json"), fixed=RUN + ["--stats", at("made", "s.json")])
    out(OUT, "--stats", GOOD, says="directory")
    refused("generate --stats into nowhere", 608, *GENERATE, "--stats", at("nowhere", "s.json"))
    refused("generate --stats over the weights", 1, *GENERATE, "--stats", os.path.join(GOOD, "model.safetensors"))
    text(OUT, "precious")
    out(OUT, "--tp", "5", code=105, fixed=None)
    out(OUT, "--stats", at("nowhere", "s.json"), fixed=None)
    os.remove(OUT)
    with somebody() as options:
        if options is not None:
            os.chmod(at("made"), 0o555)
            out(OUT, says="Permission", fixed=None, **options)
            refused("--out in a folder without permission", 608, *TRAIN, says="Permission", **options)
            os.chmod(at("made"), 0o777)
            old = text(OUT, "precious")
            os.chmod(old, 0o444)
            out(OUT, says="Permission", fixed=None, **options)
            os.remove(old)
            os.chmod(at("made"), 0o700)


def limited(bytes_):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))

    return limit


def full_disks():
    for n in (0, 100, 5000, 18000):
        refused(f"run, files of at most {n} bytes", 608, *RUN, "--grad", says="untouched", preexec_fn=limited(n))
        refused(f"train, files of at most {n} bytes", 608, *TRAIN, silent=False, preexec_fn=limited(n))
    text(OUT, "precious")
    refused("run over a file, files of at most 5000 bytes", 608, *RUN, "--grad", preexec_fn=limited(5000))
    checks.that(open(OUT).read() == "precious", "the old output is still there")
    os.remove(OUT)
    small = at("small")
    os.makedirs(small)
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], stderr=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )
    if not mounted:
        checks.skip("a full disk", "no file system can be mounted here; a limit on file sizes stands in for it")
        return
    try:
        refused(
            "run onto a full disk",
            608,
            "run",
            GOOD,
            "--input",
            IDS,
            "--output",
            os.path.join(small, "o.safetensors"),
            "--grad",
            says="No space",
        )
        refused(
            "train onto a full disk",
            608,
            *TRAIN[:4],
            "--out",
            os.path.join(small, "t"),
            *TRAIN[6:],
            says=["No space", os.path.join(small, "")],
            silent=False,
        )
        os.makedirs(os.path.join(small, "empty"))
        refused(
            "train into an empty folder on a full disk",
            608,
            *TRAIN[:4],
            "--out",
            os.path.join(small, "empty"),
            *TRAIN[6:],
            says=["No space", os.path.join(small, "")],
            silent=False,
        )
        text(os.path.join(small, "o.safetensors"), "precious")
        refused(
            "run over a file on a full disk",
            608,
            "run",
            GOOD,
            "--input",
            IDS,
            "--output",
            os.path.join(small, "o.safetensors"),
            "--grad",
            says="untouched",
        )
    finally:
        subprocess.run(["umount", small], check=False)


def standard_output():
    for verb in (
        RUN + ["--json"],
        GENERATE,
        ["explain", GOOD],
        ["explain", GOOD, "--json"],
        ["check", PLAN],
        ["diff", IDS, IDS],
        TRAIN,
    ):
        with open("/dev/full", "w") as full:
            r = run(*verb, stdout=full)
        checks.that(r.status == 2 and r.code == 608, f"{verb[0]}: standard output that is full is refused", r)
        shutil.rmtree(at("made"))
        os.makedirs(at("made"))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        r = run("explain", GOOD, stdout=writing)
        checks.that(r.status == 2 and r.code == 608, "standard output that nobody reads is refused", r)
    finally:
        os.close(writing)


def training():
    def train(label, code, *changes, says=(), fixed=TRAIN, base=None):
        arguments = list(base or TRAIN)
        for name, value in changes:
            if name in arguments:
                arguments[arguments.index(name) + 1] = value
            else:
                arguments += [name, value]
        return refused(label, code, *arguments, says=says, fixed=fixed)

    train(
        "a text shorter than --seq",
        1,
        ("--data", text(at("short.txt"), "short")),
        says=["5", "8"],
        fixed=[*TRAIN[:2], "--data", at("short.txt"), *TRAIN[4:-1], "5"],
    )
    train("an empty text", 1, ("--data", text(at("short.txt"), "")))
    train("no text", 608, ("--data", at("nowhere")), says="nowhere")
    train("a folder for a text", 608, ("--data", GOOD))
    train("a device for a text", 608, ("--data", "/dev/zero"))
    for option in ("--steps", "--batch", "--accumulate", "--log-every"):
        for value in ("0", "-1", "x", "99999999999999999999999"):
            train(f"{option} {value}", 1, (option, value), says=option)
    for value in ("1", "0", "-8", "x", "100000"):
        train(f"--seq {value}", 1, ("--seq", value), says="--seq")
    for option in ("--lr", "--clip", "--weight-decay"):
        for value in ("-1", "nan", "x", "inf"):
            train(f"{option} {value}", 1, (option, value), says=option)
    train("--warmup -1", 1, ("--warmup", "-1"), says="--warmup")
    train("--schedule linear", 606, ("--schedule", "linear"), says="linear", fixed=TRAIN + ["--schedule", "cosine"])
    train("--init x", 1, ("--init", "x"))
    train("a batch beyond all memory", 1, ("--batch", "4000000000000"))
    small = folder_with("small", models.config("llama", vocab_size=255), models.weights(models.config("llama", vocab_size=255)))
    refused("a vocabulary of 255", 604, *on(small, TRAIN), says=["vocab_size", "256"], fixed=TRAIN)
    bad = dict(WEIGHTS)
    bad["model.norm.weight"] = tensors.floats([24], [float("nan")] * 24)
    refused("weights that are no numbers", 1, *on(folder_with("nan", weights=bad), TRAIN), says="step 1", fixed=TRAIN)
    for tp in (1, 3):
        refused(
            f"generate from weights that are no numbers, tp {tp}", 1, *on(at("case", "nan"), GENERATE), "--tp", tp, fixed=GENERATE
        )
    train("--out in a folder that is not there", 608, ("--out", at("nowhere", "out")), says="nowhere")
    train("--out that is a file", 608, ("--out", IDS), says="directory")
    train("--out that is the checkpoint itself", 608, ("--out", GOOD), says="--resume")
    train("--out with a checkpoint in it", 608, ("--out", folder_with("taken")), says="--resume")
    train(
        "--out with weights in it", 608, ("--out", os.path.dirname(text(at("case", "weights", "model.safetensors"), "precious")))
    )
    train("--out in a file", 608, ("--out", at("in.safetensors", "x")))
    train("an empty --out", (1, 608), ("--out", ""))
    vast = at("case", "vast")
    sizes = {"hidden_size": 65536, "intermediate_size": 262144, "num_hidden_layers": 200, "num_attention_heads": 512}
    models.write_config(vast, models.config("llama", vocab_size=300, num_key_value_heads=512, head_dim=128, **sizes))
    for tp in (1, 8):
        call = ["train", vast, "--init", "1", *TRAIN[2:], "--tp", tp]
        refused(f"a model larger than the machine, tp {tp}", 1, *call, says="GiB", fixed=TRAIN)
        r = run("explain", vast, "--tp", tp)
        checks.that(r.status == 0, f"such a model is explained, tp {tp}", r)
    refused("--resume of nothing", 608, *TRAIN, "--resume", fixed=TRAIN)
    refused("--resume in a folder without a state", 608, *[GOOD if a == at("made", "trained") else a for a in TRAIN], "--resume")

    state = at("state")
    r = run(*[state if a == at("made", "trained") else a for a in TRAIN])
    checks.that(r.status == 0, "training succeeds", r)
    resume = [state if a == at("made", "trained") else a for a in TRAIN] + ["--resume"]
    kept = {n: open(os.path.join(state, n), "rb").read() for n in os.listdir(state)}

    def spoilt(label, code, name, content, says=()):
        for n, data in kept.items():
            text(os.path.join(state, n), data)
        text(os.path.join(state, name), content)
        refused(label, code, *resume, says=says)
        text(os.path.join(state, name), kept[name])

    spoilt("a state that is no JSON", 604, "trainer_state.json", "{", says="trainer_state.json")
    spoilt("a state without a step", 604, "trainer_state.json", "{}", says="step")
    spoilt("a state with a negative step", 604, "trainer_state.json", '{"step": -1}', says="step")
    moments = kept["optimizer.safetensors"]
    spoilt("moments that are cut", 601, "optimizer.safetensors", moments[:-1], says="optimizer.safetensors")
    spoilt("moments that are empty", 601, "optimizer.safetensors", b"")
    parsed = tensors.parse(moments)
    spoilt(
        "a moment missing",
        602,
        "optimizer.safetensors",
        tensors.image({k: v for k, v in parsed.items() if k != "first.model.norm.weight"}),
        says="first.model.norm.weight",
    )
    spoilt("weights that are cut", 601, "model.safetensors", kept["model.safetensors"][:-1])
    os.remove(os.path.join(state, "optimizer.safetensors"))
    refused("moments gone", 608, *resume, says="optimizer.safetensors")
    text(os.path.join(state, "optimizer.safetensors"), moments)
    refused("--resume with other heads", 105, *resume, "--tp", "5")
    refused("--resume with --init", 1, *resume, "--init", "1", says="--init")


def interrupted():
    """Signals at many moments of a run, most of them while it saves: either the whole result is there afterwards or nothing."""
    big = models.config("llama", vocab_size=300, hidden_size=192, head_dim=16, intermediate_size=512, num_hidden_layers=3)
    folder, target = at("big"), at("made", "trained")
    models.write_config(folder, big)
    call = [
        PROGRAM,
        "train",
        folder,
        "--init",
        "1",
        "--data",
        TEXT,
        "--out",
        target,
        "--steps",
        "1",
        "--batch",
        "1",
        "--seq",
        "8",
        "--tp",
        "2",
    ]
    names = ["config.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json"]
    began = time.monotonic()
    r = run(*call[1:])
    takes = time.monotonic() - began
    checks.that(r.status == 0 and sorted(os.listdir(target)) == names, "an uninterrupted run saves four files", r)

    def bytes_aside():
        """Of what is being saved: 0 before that begins."""
        total = 0
        with contextlib.suppress(OSError):
            for base, _, files in os.walk(at("made")):
                total += sum(os.lstat(os.path.join(base, f)).st_size for f in files if "safetensors" in f)
        return total

    saved = stopped = met_saving = 0
    whole = sum(os.path.getsize(os.path.join(target, n)) for n in names if n.endswith("safetensors"))
    for k in range(24):
        shutil.rmtree(at("made"))
        os.makedirs(at("made") if k % 4 else target)  # into an empty folder now and then
        which = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[k % 3]
        started = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if k < 6:
            time.sleep(takes * k / 6)
        else:  # when so much of it has been written
            until = whole * (k - 6) / 17
            while started.poll() is None and bytes_aside() <= until:
                time.sleep(0.0005)
            met_saving += started.poll() is None
        started.send_signal(which)
        out, err = started.communicate(timeout=60)
        answer = Answer(call[1:], started.returncode, out, err)
        left = sorted(os.listdir(target)) if os.path.isdir(target) else []
        strays = [n for n in os.listdir(at("made")) if n != "trained"]
        checks.that(not strays, f"{which.name}, case {k}: no temporary is left, but {strays}", answer)
        if started.returncode == 0:
            saved += 1
            checks.that(left == names, f"{which.name}, case {k}, came too late: all is saved, and {left} is there", answer)
        elif started.returncode == -which and not out and k == 0:
            checks.that(left == [], f"{which.name} met a program that had not begun", answer)
        else:
            stopped += 1
            checks.that(
                answer.status == 2 and answer.code == 608, f"{which.name}, case {k}, is answered by one line, exit 2", answer
            )
            checks.that(left in ([], names), f"{which.name}, case {k}, leaves all or nothing, but {left} is there", answer)
        if left == names:
            r = run("generate", target, "--tokens", "1", "--new", "1")
            checks.that(r.status == 0, f"{which.name}, case {k}: what is there is whole", r)
    checks.that(
        met_saving >= 6 and stopped >= 6,
        f"signals met programs that were saving ({met_saving}; {stopped} stopped, {saved} had saved)",
    )


def main():
    try:
        for part in (
            good_calls,
            usage,
            files_of_weights,
            configurations,
            plans,
            inputs,
            outputs,
            full_disks,
            standard_output,
            training,
            interrupted,
        ):
            if len(sys.argv) < 2 or part.__name__ in sys.argv[1:] or part is good_calls:
                began, before = time.monotonic(), checks.passed + checks.failed
                part()
                print(
                    f"{part.__name__}: {checks.passed + checks.failed - before} checks, {time.monotonic() - began:.1f} s".replace(
                        ": ", " - ", 1
                    ),
                    flush=True,
                )
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(scratch)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
