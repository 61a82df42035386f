"""Compares torch_vit.py with a golden fixture of kind vit-finetune-step; exits 1 past 1e-4.

    python scripts/bench/check_torch_vit.py finetune_step.safetensors
"""

import json
import sys

import torch
from safetensors import safe_open

from torch_cae import CaeConfig
from torch_vit import Classifier, soft_cross_entropy


def main(path: str) -> int:
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])["model"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    sizes = CaeConfig(
        img_size=config["img_size"],
        patch_size=config["patch_size"],
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        layer_scale_init_value=config["layer_scale_init_value"],
    )
    parameters = {name[6:]: value for name, value in tensors.items() if name.startswith("param.")}
    model = Classifier(sizes, parameters["head.weight"].shape[0])
    missing, unexpected = model.load_state_dict(parameters, strict=False)
    wrong = [name for name in [*missing, *unexpected] if "pos_embed" not in name and "position_index" not in name]
    if wrong:
        print(f"names differ: {wrong}")
        return 1
    logits = model(tensors["input.images"])
    loss = soft_cross_entropy(logits, tensors["input.soft_targets"])
    loss.backward()
    worst = 0.0
    pairs = {"logits": logits, "loss": loss}
    for name, p in model.named_parameters():
        if f"expect.grad.{name}" in tensors:
            pairs[f"grad.{name}"] = p.grad
    for name, value in pairs.items():
        expected = tensors[f"expect.{name}"].double()
        error = float((value.detach().double() - expected).norm() / expected.norm().clamp_min(1e-12))
        worst = max(worst, error)
        print(f"{error:.2e}  {name}")
    print(f"worst {worst:.2e}")
    return 0 if worst < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
