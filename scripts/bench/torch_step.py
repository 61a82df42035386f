"""One pretraining step of the PyTorch peer, timed. Prints one JSON line.

    python torch_step.py --model base --batch 8 --precision fp32 --tokenizer dall-e --steps 3 --warmup 1
    python torch_step.py --device cuda --batch 256 --form reference     # eager, fp16 autocast, unfused attention
    python torch_step.py --device cuda --batch 256 --form best          # bf16, SDPA, fused AdamW, torch.compile

A step is: tokens of the 112x112 views (no gradient, argmax over 14x14), encoder, alignment pass, regressor,
decoder, both losses, backward, clipping to norm 3, AdamW. Stochastic depth 0.1, layer scale as registered,
98 of 196 patches masked in blocks. Weights and images are random and made before the clock starts.

Choices in PyTorch's favour: one `.item()` a step instead of the reference's four; with bf16 the tokenizer runs
inside autocast too (the reference leaves it outside); the tokenizer's weights and images are channels_last
(the reference's are contiguous), which oneDNN convolves faster, in bf16 by more than 2x. `--tokenizer-layout
contiguous` gives the reference's layout. In `--form best` nothing waits for the GPU between steps, and patches are
selected by index, so that no shape depends on data.

`peak_mib` is the process's largest resident size; on cuda, the most memory that PyTorch held of the device.
"""

import argparse
import contextlib
import json
import math
import os
import random
import resource
import statistics
import sys
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


# What a form stands for; single flags given beside it count for more.
FORMS = {
    "reference": dict(precision="fp16", attention="eager", adamw="default", tokenizer_layout="contiguous", compile=False),
    "best": dict(precision="bf16", attention="sdpa", adamw="fused", tokenizer_layout="channels_last", compile=True),
}


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Times a CAE pretraining step of the PyTorch peer")
    p.add_argument("--model", default="base", choices=["tiny", "small", "base", "large"])
    p.add_argument("--batch", type=int, default=8, help="images a step")
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--form", choices=[*FORMS], help="sets precision, attention, adamw, tokenizer layout and compile")
    p.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    p.add_argument("--steps", type=int, default=3, help="timed steps")
    p.add_argument("--warmup", type=int, default=1, help="steps before the clock starts")
    p.add_argument("--tokenizer", default="dall-e", choices=["dall-e", "none"], help="none: random labels")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--attention", default="eager", choices=["eager", "sdpa"], help="eager is the reference's")
    p.add_argument("--adamw", default="default", choices=["default", "foreach", "fused"])
    p.add_argument("--tokenizer-layout", default="channels_last", choices=["contiguous", "channels_last"])
    p.add_argument("--compile", action="store_true", help="torch.compile of model, losses and tokenizer")
    p.add_argument("--phases", action="store_true", help="print the median seconds of each phase to stderr")
    p.add_argument("--seed", type=int, default=0)
    form = p.parse_known_args()[0].form
    if form is not None:
        p.set_defaults(**FORMS[form])
    args = p.parse_args()
    for name in ("batch", "steps", "threads"):
        if getattr(args, name) < 1:
            p.error(f"--{name} must be at least 1")
    if args.warmup < 0:
        p.error("--warmup must not be negative")
    if args.form == "best" and args.phases:
        p.error("--phases waits for the device between phases, which --form best does not")
    return args


def run(args: argparse.Namespace) -> dict:
    """Runs warmup + steps and returns the line to print."""
    import torch

    from torch_cae import MODELS, Cae, CaeConfig, cae_losses, parameter_groups
    from torch_tokenizers import DalleEncoder

    device = torch.device(args.device)
    cuda = args.device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise SystemExit("torch_step.py: this PyTorch finds no CUDA device")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    config = CaeConfig(**MODELS[args.model], drop_path=0.1, attention=args.attention)
    model = Cae(config).train().to(device)
    choice = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}[args.adamw]
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.05), lr=1.5e-4, betas=(0.9, 0.999), eps=1e-8, **choice)
    scaler = torch.amp.GradScaler(args.device, enabled=args.precision == "fp16")
    layout = torch.channels_last if args.tokenizer_layout == "channels_last" else torch.contiguous_format
    tokenizer = DalleEncoder().eval().to(device, memory_format=layout) if args.tokenizer == "dall-e" else None
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.precision)
    autocast = (lambda: torch.autocast(args.device, half)) if half else contextlib.nullcontext
    grid, masked_patches = config.img_size // config.patch_size, 98
    images = torch.rand(args.batch, 3, config.img_size, config.img_size, device=device) * 2 - 1
    views = (torch.rand(args.batch, 3, 8 * grid, 8 * grid, device=device) * 0.8 + 0.1).to(memory_format=layout)
    by_index = args.compile

    def losses(masked, visible, labels):
        return cae_losses(*model(images, masked, visible), labels, 2.0)

    def tokens_of(pixels):
        return tokenizer(pixels).argmax(dim=1).flatten(1)

    if args.compile:
        losses, tokens_of = torch.compile(losses), torch.compile(tokens_of)

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    def step(mask: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        marks = [("", time.perf_counter())]

        def mark(name: str) -> None:
            if args.phases:
                wait()
            marks.append((name, time.perf_counter()))

        # Rows of a mask hold equally many ones: a stable sort brings their places to the front, in raster order.
        masked, visible = mask, None
        if by_index:
            order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
            masked, visible = order[:, :masked_patches], order[:, masked_patches:]
        with torch.no_grad(), autocast():
            if tokenizer is None:
                tokens = torch.randint(config.decoder_num_classes, (args.batch, grid * grid), device=device)
            else:
                tokens = tokens_of(views)
            labels = tokens.gather(1, masked).flatten() if by_index else tokens[masked]
        mark("tokenizer")
        with autocast():
            main, align = losses(masked, visible, labels)
            loss = main + align
        if not by_index:
            loss.item()  # as the reference does, to look at it
        mark("forward")
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        mark("backward")
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        scaler.step(optimizer)
        scaler.update()
        mark("optimizer")
        return loss.detach(), {name: at - before for (_, before), (name, at) in zip(marks, marks[1:])}

    masks = [
        torch.tensor([block_mask(rng, grid, masked_patches) for _ in range(args.batch)]).to(device)
        for _ in range(args.warmup + args.steps)
    ]
    for mask in masks[: args.warmup]:
        step(mask)
    wait()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    cpu, begin = time.process_time(), time.perf_counter()
    seconds, phases, values = [], [], []
    for mask in masks[args.warmup :]:
        start = time.perf_counter()
        value, parts = step(mask)
        # Without waiting, a step's own time means nothing: then it is the mean over all.
        seconds.append(time.perf_counter() - start)
        values.append(value)
        phases.append(parts)
    wait()
    elapsed = time.perf_counter() - begin
    cpu = time.process_time() - cpu
    for value in values:
        if not math.isfinite(value.item()):
            raise SystemExit(f"loss is {value.item()}: the timed work is not a training step")
    if args.phases:
        print({k: round(statistics.median(p[k] for p in phases), 3) for k in phases[0]}, file=sys.stderr)
    middle = elapsed / args.steps if cuda else statistics.median(seconds)
    peak = torch.cuda.max_memory_reserved() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = {
        "peer": "torch",
        "version": torch.__version__,
        "images_per_s": round(args.batch / middle, 4),
        "step_s": round(middle, 5),
        "peak_mib": round(peak / 2**20, 1),
    }
    if cuda:
        line |= {"gpu": torch.cuda.get_device_name(), "allocated_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1)}
    names = "device form threads precision model batch tokenizer attention adamw tokenizer_layout compile steps".split()
    line |= {name: getattr(args, name) for name in names}
    # Processor time over threads * wall time. Well under 1 on a machine where other work takes the cores;
    # idle threads spin, so it says little about parallel efficiency.
    return line | {"cpu_share": round(cpu / (args.threads * elapsed), 3)}


def main() -> None:
    args = arguments()
    try:
        print(json.dumps(run(args)))
    except Exception as error:
        # By its name: torch.OutOfMemoryError is older PyTorch's torch.cuda.OutOfMemoryError.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        print(f"out of memory: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
