#!/usr/bin/env python3
"""Transformers' tensor parallelism (torch, gloo, two processes) against two thread ranks of shardproof, the same Llama, in turns.

    python3 -m venv venv && venv/bin/pip install torch transformers accelerate
    build/bench/llama98m --make /tmp/llama98m
    venv/bin/python bench/peers/transformers_tp.py /tmp/llama98m --ours build/bench/llama98m

Prints, for decode (128 tokens of prompt, then 46), prefill of 128 and a training step of 256 (forward, backward, clipping, AdamW),
the peer's seconds over ours: medians over all rounds, and one JSON line each. Both get one core a rank and one thread a rank.
What the peer cannot do is said and left out.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

THINGS = ("decode", "prefill", "train")
PROMPT, TRAINED, DECODED, VOCABULARY = 128, 256, 46, 8192


def tokens(n):
    return [(i * 7919 + 13) % VOCABULARY for i in range(n)]


def worker(folder, thing, tp):
    """One rank of the peer: prints its seconds as JSON on rank 0."""
    import torch
    import torch.distributed as dist
    from transformers import AutoModelForCausalLM

    rank = int(os.environ.get("RANK", "0"))
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    options = {"dtype": torch.float32}
    if tp > 1:
        dist.init_process_group("gloo")
        options["tp_plan"] = "auto"
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    taken = []

    def timed(call):
        if tp > 1:
            dist.barrier()
        begin = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - begin)
        return result

    if thing == "train":
        ids = torch.tensor([tokens(TRAINED)])
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, foreach=tp == 1)

        def local(x):
            return x.to_local() if hasattr(x, "to_local") else x

        def clip(limit):
            # torch's own refuses a model in which some parameters are sharded and others are not.
            cut = sum(local(p.grad).square().sum() for p in model.parameters() if hasattr(p.grad, "to_local"))
            whole = sum(p.grad.square().sum() for p in model.parameters() if not hasattr(p.grad, "to_local"))
            if tp > 1:
                dist.all_reduce(cut)
            norm = (cut + whole) ** 0.5
            if norm > limit:
                for p in model.parameters():
                    local(p.grad).mul_(limit / norm)

        def step():
            loss = model(ids, labels=ids).loss
            loss.backward()
            clip(1.0)
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        step()
        step()
        for _ in range(3):
            value = timed(step)
    else:
        ids = torch.tensor([tokens(PROMPT)])
        with torch.inference_mode():
            prefill = lambda: model(ids, use_cache=True)
            out = prefill()
            if thing == "prefill":
                for _ in range(5):
                    timed(prefill)
            else:
                state = {"cache": out.past_key_values, "next": out.logits[:, -1:].argmax(-1)}

                def one():
                    o = model(state["next"], past_key_values=state["cache"], use_cache=True)
                    state["next"] = o.logits[:, -1:].argmax(-1)

                for i in range(DECODED):
                    one() if i < 2 else timed(one)
        value = 0.0
    if rank == 0:
        print(json.dumps({"seconds": statistics.median(taken), "best": min(taken), "loss": value}))
    if tp > 1:
        dist.destroy_process_group()


def run_peer(folder, thing, tp, port):
    env = dict(os.environ, OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    ranks = []
    for r in range(tp):
        own = dict(env, RANK=str(r), LOCAL_RANK=str(r), WORLD_SIZE=str(tp), LOCAL_WORLD_SIZE=str(tp), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
                   GLOO_SOCKET_IFNAME="lo", CUDA_VISIBLE_DEVICES="")
        ranks.append(subprocess.Popen([sys.executable, __file__, folder, "--worker", thing, "--tp", str(tp)], env=own,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    answers = [p.communicate(timeout=900) for p in ranks]
    if any(p.returncode for p in ranks):
        return None, answers[0][1].strip().splitlines()[-1:]
    return json.loads(answers[0][0].strip().splitlines()[-1]), None


def run_ours(program, folder, thing, tp):
    out = subprocess.run([program, folder, "--only", thing, "--tp", str(tp), "--rounds", "1"], check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--ours", help="the program llama98m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--only", choices=THINGS)
    parser.add_argument("--worker", choices=THINGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.folder, options.worker, options.tp)
    import torch
    import transformers

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, tp={options.tp}, gloo on loopback, {torch.backends.cpu.get_cpu_capability()}")
    for thing in [options.only] if options.only else THINGS:
        ours, theirs = [], []
        for r in range(options.rounds):
            ours.append(run_ours(options.ours, options.folder, thing, options.tp)["seconds"])
            answer, problem = run_peer(options.folder, thing, options.tp, 29510 + r)
            if problem:
                print(f"{thing}: the peer fails: {problem}")
                break
            theirs.append(answer["seconds"])
        if not theirs:
            continue
        a, b = statistics.median(ours), statistics.median(theirs)
        spread = [t / o for t, o in zip(theirs, ours)]
        print(f"{thing}, tp={options.tp}: transformers / ours {b / a:.2f}  ({b * 1e3:.1f} and {a * 1e3:.1f} ms; rounds {min(spread):.2f} to {max(spread):.2f})")
        print(json.dumps({"what": f"{thing}, tp={options.tp}: transformers / ours", "ratio": round(b / a, 3), "peer_seconds": b, "our_seconds": a,
                          "rounds": len(theirs)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
