"""One fine-tuning step, or one batch of a frozen encoder's features, of the PyTorch peer, timed. Prints one JSON line.

    python torch_finetune.py --task finetune --model base --batch 8 --precision fp32 --steps 3 --warmup 1

A fine-tuning step is: pixels to float and normalised, mixup or CutMix (0.8, 1.0) of the batch and its smoothed targets,
forward with relative position biases and stochastic depth 0.1, soft-target cross-entropy, backward, AdamW with
layer-wise rates 0.65. Features: the normalised cls token of the encoder as pretrained, without gradient. Weights and
pictures are random and made before the clock starts. Chosen in PyTorch's favour: no synchronisation but one `.item()`.
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


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Times fine-tuning or feature extraction of the PyTorch peer")
    p.add_argument("--task", default="finetune", choices=["finetune", "features"])
    p.add_argument("--model", default="base", choices=["tiny", "small", "base", "large"])
    p.add_argument("--batch", type=int, default=8, help="images a step")
    p.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    p.add_argument("--steps", type=int, default=3, help="timed steps")
    p.add_argument("--warmup", type=int, default=1, help="steps before the clock starts")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--attention", default="eager", choices=["eager", "sdpa"], help="eager is the reference's")
    p.add_argument("--adamw", default="default", choices=["default", "foreach", "fused"])
    p.add_argument("--classes", type=int, default=1000)
    args = p.parse_args()
    for name in ("batch", "steps", "threads"):
        if getattr(args, name) < 1:
            p.error(f"--{name} must be at least 1")
    return args


def run(args: argparse.Namespace) -> dict:
    """Runs warmup + steps and returns the line to print."""
    import torch

    from torch_cae import MODELS, CaeConfig, Encoder
    from torch_vit import Classifier, layer_decay_groups, soft_cross_entropy

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = random.Random(0)
    training = args.task == "finetune"
    sizes = {k: v for k, v in MODELS[args.model].items() if not k.startswith("decoder")}
    config = CaeConfig(**sizes, drop_path=0.1 if training else 0.0, attention=args.attention)
    pixels = torch.randint(0, 256, (args.batch, config.img_size, config.img_size, 3), dtype=torch.uint8)
    labels = torch.randint(args.classes, (args.batch,))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    autocast = (lambda: torch.autocast("cpu", torch.bfloat16)) if args.precision == "bf16" else contextlib.nullcontext

    def prepared() -> "torch.Tensor":
        return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / deviation

    def mixed(images):
        smoothed = torch.full((args.batch, args.classes), 0.1 / args.classes)
        smoothed.scatter_(1, labels[:, None], 0.9 + 0.1 / args.classes)
        if rng.random() < 0.5:
            share = rng.betavariate(0.8, 0.8)
            images = images * share + images.flip(0) * (1 - share)
        else:
            side = int(config.img_size * math.sqrt(1 - rng.betavariate(1, 1)))
            top, left = rng.randint(0, config.img_size - side), rng.randint(0, config.img_size - side)
            box = (..., slice(top, top + side), slice(left, left + side))
            images[box] = images.flip(0)[box]
            share = 1 - side * side / config.img_size**2
        return images, smoothed * share + smoothed.flip(0) * (1 - share)

    if training:
        model = Classifier(config, args.classes).train()
        choice = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}[args.adamw]
        groups = layer_decay_groups(model, config.depth, 0.65, 1e-4, 0.05)
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, **choice)
    else:
        model = Encoder(config).eval()
    everything = torch.ones(args.batch, (config.img_size // config.patch_size) ** 2, dtype=torch.bool)

    def step() -> None:
        if not training:
            with torch.no_grad(), autocast():
                # As a frozen encoder is used: the cls token, as float32 at hand.
                features = model(prepared(), everything)[:, 0].float()
            if not math.isfinite(features.sum().item()):
                raise SystemExit("features are not finite")
            return
        images, targets = mixed(prepared())
        with autocast():
            logits = model(images)
        loss = soft_cross_entropy(logits, targets)
        if not math.isfinite(loss.item()):
            raise SystemExit("the loss is not finite: the timed work is not a training step")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    seconds, cpu_seconds = [], 0.0
    for i in range(args.warmup + args.steps):
        cpu, start = time.process_time(), time.perf_counter()
        step()
        if i >= args.warmup:
            cpu_seconds += time.process_time() - cpu
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    return {
        "peer": "torch",
        "version": torch.__version__,
        "task": args.task,
        "images_per_s": round(args.batch / median, 4),
        "step_s": round(median, 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "threads": args.threads,
        "precision": args.precision,
        "model": args.model,
        "batch": args.batch,
        "attention": args.attention,
        "steps": args.steps,
        "cpu_share": round(cpu_seconds / (args.threads * sum(seconds)), 3),
    }


if __name__ == "__main__":
    print(json.dumps(run(arguments())))
