"""A training step of GPT-2 124M in torch: the shapes, optimizer and precision of bench/gpu/block.cpp, as JSON lines.

    python3 bench/gpu/peers_torch.py [--batch N] [--turns N] [--steps N]    # torch.compile off, then on
    SHARDPROOF_CUDA_PRODUCTS=bf16 python3 bench/gpu/peers_torch.py          # autocast; tf32: TF32 products; exact: f32

Weights are f32, the head is tied, nothing is dropped, gradients are clipped to 1, AdamW is fused. Exits 3 where torch or CUDA is missing.
"""
import argparse
import contextlib
import json
import math
import os
import statistics
import sys
import time

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    sys.exit(3)

HIDDEN, LAYERS, HEADS, VOCABULARY = 768, 12, 12, 50257


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.c_attn, self.attn_proj = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.c_fc, self.mlp_proj = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (y.view(b, t, HEADS, -1).transpose(1, 2) for y in self.c_attn(self.ln_1(x)).split(HIDDEN, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_proj(y.transpose(1, 2).reshape(b, t, HIDDEN))
        return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, positions):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, HIDDEN), nn.Embedding(positions, HIDDEN)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(HIDDEN)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, labels):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY), labels.view(-1), ignore_index=-100)


def measure(compiled, precision, o):
    torch.manual_seed(1)
    model = Gpt2(o.positions).cuda()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=3e-4, fused=True)
    step_model = torch.compile(model) if compiled else model
    batches = []
    for k in range(2):
        ids = torch.randint(VOCABULARY, (o.batch, o.positions), device="cuda")
        labels = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], 1)
        batches.append((ids, labels))
    narrow = torch.autocast("cuda", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def step(i):
        with narrow:
            loss = step_model(*batches[i % 2])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    first = step(0).item()
    for i in range(1, 5):
        step(i)
    times = []
    for _ in range(o.turns):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for i in range(o.steps):
            loss = step(i)
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / o.steps)
    parameters = sum(p.numel() for p in model.parameters())
    tokens = o.batch * o.positions
    flop = (6 * parameters + 6 * LAYERS * HIDDEN * o.positions) * tokens
    median = statistics.median(times)
    last = loss.item()
    return {"row": "peer", "what": "GPT-2 124M training step in torch: MFU", "group": precision + (" compiled" if compiled else " eager"),
            "torch": torch.__version__, "batch": o.batch, "positions": o.positions, "ms": median * 1e3, "best_ms": min(times) * 1e3,
            "tokens_s": tokens / median, "parameters": parameters, "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
            "first_loss": first, "last_loss": last, "right": math.isfinite(last) and last < first, "ratio": flop / median / 989e12, "limit": 1}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--positions", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--steps", type=int, default=4)
    o = parser.parse_args()
    if not torch.cuda.is_available():
        return 3
    precision = os.environ.get("SHARDPROOF_CUDA_PRODUCTS") or "exact"
    torch.backends.cuda.matmul.allow_tf32 = precision != "exact"
    for compiled in (False, True):
        try:
            print(json.dumps(measure(compiled, precision, o)), flush=True)
        except Exception as e:                           # a machine without a C compiler cannot compile; the other line stands
            print(f"torch, compile={compiled}: {type(e).__name__}: {str(e)[:200]}", file=sys.stderr)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return 0


if __name__ == "__main__":
    sys.exit(main())
