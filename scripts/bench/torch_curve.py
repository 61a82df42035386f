"""Goes the way of a loss curve that curve.mjs dumped, in PyTorch fp32: same weights, batches, rates.

    node scripts/bench/curve.mjs --device cuda --precisions fp32 --steps 50 --dump curve.safetensors
    python scripts/bench/torch_curve.py curve.safetensors --device cuda

Prints one JSON line with the losses of both and their differences; exits 1 where the last ones are further apart than
1e-3.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from check_torch_peer import load, read_safetensors
from torch_cae import Cae, CaeConfig, adamw, cae_losses

TOLERANCE = 1e-3


def main() -> None:
    p = argparse.ArgumentParser(description="A dumped loss curve, in PyTorch")
    p.add_argument("file", type=Path)
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--steps", type=int, default=50)
    args = p.parse_args()
    kind, config, tensors = read_safetensors(args.file)
    if kind != "loss-curve":
        raise SystemExit(f"{args.file}: kind '{kind}', not loss-curve; write it with curve.mjs --dump")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    device, optim = torch.device(args.device), config["optim"]
    model = Cae(CaeConfig(**config["model"])).train()
    load(model, {**buffers(model), **tensors}, "")
    model.to(device)
    optimizer = adamw(model, optim["lr"], optim["weight_decay"])
    batches = sum(name.startswith("images.") for name in tensors)
    theirs = tensors["losses"].tolist()
    steps = min(args.steps, len(theirs))
    ours = []
    for step in range(steps):
        images, masks, tokens = (tensors[f"{name}.{step % batches}"].to(device) for name in ("images", "masks", "tokens"))
        pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        masked = masks.bool()
        for group in optimizer.param_groups:
            group["lr"] = optim["lr"] * min(1, (step + 1) / optim["warmup"])
        logits, predict, target = model(pixels, masked)
        loss = sum(cae_losses(logits, predict, target, tokens[masked].long(), config["align_loss_weight"]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), optim["clip_grad"])
        optimizer.step()
        ours.append(loss.item())
    apart = [abs(a - b) for a, b in zip(ours, theirs)]
    passed = apart[-1] <= TOLERANCE
    line = {"steps": steps, "passed": passed, "last_difference": apart[-1], "largest_difference": max(apart)}
    print(json.dumps(line | {"torch": ours, "native": theirs[:steps], "version": torch.__version__}))
    if not passed:
        print(f"torch_curve: after {steps} steps the losses differ by {apart[-1]:.2e}", file=sys.stderr)
        sys.exit(1)


def buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The fixed position tables, which a dump leaves out."""
    return {f"param.{name}": value for name, value in model.named_buffers()}


if __name__ == "__main__":
    main()
