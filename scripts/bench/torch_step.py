"""One pretraining step of the PyTorch peer, timed. Prints one JSON line.

    python torch_step.py --model base --batch 8 --precision fp32 --tokenizer dall-e --steps 3 --warmup 1

A step is: tokens of the 112x112 views (no gradient, argmax over 14x14), encoder, alignment pass, regressor,
decoder, both losses, backward, clipping to norm 3, AdamW. Stochastic depth 0.1, layer scale as registered,
98 of 196 patches masked in blocks. Weights and images are random and made before the clock starts.

Choices in PyTorch's favour: one `.item()` a step instead of the reference's four; with bf16 the tokenizer runs
inside autocast too (the reference leaves it outside); the tokenizer's weights and images are channels_last
(the reference's are contiguous), which oneDNN convolves faster, in bf16 by more than 2x. `--tokenizer-layout
contiguous` gives the reference's layout.
"""

import argparse
import contextlib
import json
import math
import os
import random
import resource
import statistics
import time


def block_mask(rng: random.Random, grid: int, total: int, smallest: int = 16) -> list[bool]:
    """Row-major mask of grid² patches with exactly `total` set, grown from random rectangles of at least
    `smallest` patches and aspect log-uniform in [0.3, 1/0.3]."""
    mask = [False] * (grid * grid)
    done = 0
    while done < total:
        for _ in range(10):
            area = rng.uniform(min(smallest, total - done), total - done)
            aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h >= grid or w >= grid:
                continue
            top, left = rng.randint(0, grid - h), rng.randint(0, grid - w)
            cells = [r * grid + c for r in range(top, top + h) for c in range(left, left + w)]
            fresh = [i for i in cells if not mask[i]]
            if 0 < len(fresh) <= total - done:
                for i in fresh:
                    mask[i] = True
                done += len(fresh)
                break
    return mask


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Times a CAE pretraining step of the PyTorch peer")
    p.add_argument("--model", default="base", choices=["tiny", "small", "base", "large"])
    p.add_argument("--batch", type=int, default=8, help="images a step")
    p.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    p.add_argument("--steps", type=int, default=3, help="timed steps")
    p.add_argument("--warmup", type=int, default=1, help="steps before the clock starts")
    p.add_argument("--tokenizer", default="dall-e", choices=["dall-e", "none"], help="none: random labels")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--attention", default="eager", choices=["eager", "sdpa"], help="eager is the reference's")
    p.add_argument("--adamw", default="default", choices=["default", "foreach", "fused"])
    p.add_argument("--tokenizer-layout", default="channels_last", choices=["contiguous", "channels_last"])
    p.add_argument("--phases", action="store_true", help="print the median seconds of each phase to stderr")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    for name in ("batch", "steps", "threads"):
        if getattr(args, name) < 1:
            p.error(f"--{name} must be at least 1")
    if args.warmup < 0:
        p.error("--warmup must not be negative")
    return args


def run(args: argparse.Namespace) -> dict:
    """Runs warmup + steps and returns the line to print."""
    import torch

    from torch_cae import MODELS, Cae, CaeConfig, cae_losses, parameter_groups
    from torch_tokenizers import DalleEncoder

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    config = CaeConfig(**MODELS[args.model], drop_path=0.1, attention=args.attention)
    model = Cae(config).train()
    choice = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}[args.adamw]
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.05), lr=1.5e-4, betas=(0.9, 0.999), eps=1e-8, **choice)
    layout = torch.channels_last if args.tokenizer_layout == "channels_last" else torch.contiguous_format
    tokenizer = DalleEncoder().eval().to(memory_format=layout) if args.tokenizer == "dall-e" else None
    autocast = (
        (lambda: torch.autocast("cpu", torch.bfloat16)) if args.precision == "bf16" else contextlib.nullcontext
    )
    grid, masked_patches = config.img_size // config.patch_size, 98
    images = torch.rand(args.batch, 3, config.img_size, config.img_size) * 2 - 1
    views = (torch.rand(args.batch, 3, 8 * grid, 8 * grid) * 0.8 + 0.1).to(memory_format=layout)

    def step(masked: torch.Tensor) -> tuple[float, dict[str, float]]:
        marks = [("", time.perf_counter())]
        mark = lambda name: marks.append((name, time.perf_counter()))  # noqa: E731
        with torch.no_grad(), autocast():
            if tokenizer is None:
                tokens = torch.randint(config.decoder_num_classes, (args.batch, grid * grid))
            else:
                tokens = tokenizer(views).argmax(dim=1).flatten(1)
            labels = tokens[masked]
        mark("tokenizer")
        with autocast():
            logits, predict, target = model(images, masked)
            main, align = cae_losses(logits, predict, target, labels, 2.0)
            loss = main + align
        value = loss.item()
        if not math.isfinite(value):
            raise SystemExit(f"loss is {value}: the timed work is not a training step")
        mark("forward")
        optimizer.zero_grad()
        loss.backward()
        mark("backward")
        torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        mark("optimizer")
        phases = {name: at - before for (_, before), (name, at) in zip(marks, marks[1:])}
        return marks[-1][1] - marks[0][1], phases

    seconds, phases, cpu_seconds = [], [], 0.0
    for i in range(args.warmup + args.steps):
        masked = torch.tensor([block_mask(rng, grid, masked_patches) for _ in range(args.batch)])
        cpu = time.process_time()
        took, parts = step(masked)
        if i >= args.warmup:
            cpu_seconds += time.process_time() - cpu
            seconds.append(took)
            phases.append(parts)
    if args.phases:
        import sys

        print({k: round(statistics.median(p[k] for p in phases), 3) for k in phases[0]}, file=sys.stderr)
    median = statistics.median(seconds)
    return {
        "peer": "torch",
        "version": torch.__version__,
        "images_per_s": round(args.batch / median, 4),
        "step_s": round(median, 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "threads": args.threads,
        "precision": args.precision,
        "model": args.model,
        "batch": args.batch,
        "tokenizer": args.tokenizer,
        "attention": args.attention,
        "adamw": args.adamw,
        "tokenizer_layout": args.tokenizer_layout,
        "steps": args.steps,
        # Processor time over threads * wall time. Well under 1 on a machine where other work takes the cores;
        # idle threads spin, so it says little about parallel efficiency.
        "cpu_share": round(cpu_seconds / (args.threads * sum(seconds)), 3),
    }


if __name__ == "__main__":
    print(json.dumps(run(arguments())))
