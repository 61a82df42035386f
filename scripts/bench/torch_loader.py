"""The reference's input pipeline in one process: images a second of torchvision + Pillow. Prints one JSON line.

    python torch_loader.py --data_path FOLDER --seconds 10
    python torch_loader.py --data_path FOLDER --seconds 10 --transform finetune

pretrain: ImageFolder -> RGB -> horizontal flip (p 1/2) -> one random crop (area 0.08..1, aspect 3/4..4/3), resized twice by
Pillow: 224 bicubic and 112 lanczos -> ToTensor + Normalize(0.5, 0.5), and ToTensor + 0.8x + 0.1. As in the
reference, torchvision's `resized_crop` is called for each view with the same box.
finetune: timm's create_transform as the reference calls it: random crop to 224 bicubic -> flip -> RandAugment
rand-m9-mstd0.5-inc1 -> ToTensor + Normalize(ImageNet) -> random erasing 0.25 pixel.
One process, one torch thread; masks are not drawn and batches are not collated (in PyTorch's favour).
"""

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

import torch


def load_torchvision():
    """torchvision; without its compiled operators where those do not match the installed torch.

    Only the Pillow transforms are used here, which are pure Python. A torchvision wheel built for another torch
    fails on import because `nms` and `qnms` are not registered, so both are declared and the import repeated.
    Returns (module, whether its compiled operators are missing).
    """
    try:
        import torchvision

        return torchvision, False
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    load_torchvision.library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        load_torchvision.library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    return torchvision, True


class TwoViews:
    """PIL image -> (view [3,224,224] in -1..1, tokenizer view [3,112,112] in 0.1..0.9)."""

    def __init__(self, transforms):
        self.t, self.f = transforms, transforms.functional
        self.flip = transforms.RandomHorizontalFlip(p=0.5)
        mode = transforms.InterpolationMode
        self.first, self.second = (224, mode.BICUBIC), (112, mode.LANCZOS)
        self.patches = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
        self.tokens = transforms.Compose([transforms.ToTensor(), lambda x: 0.8 * x + 0.1])

    def __call__(self, image):
        image = self.flip(image)
        box = self.t.RandomResizedCrop.get_params(image, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
        first, second = (self.f.resized_crop(image, *box, [size, size], kind) for size, kind in (self.first, self.second))
        return self.patches(first), self.tokens(second)


def fine_tuning():
    """timm's transform, and timm's version."""
    import timm
    from timm.data import create_transform

    transform = create_transform(
        input_size=224,
        is_training=True,
        color_jitter=0.4,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic",
        re_prob=0.25,
        re_mode="pixel",
        re_count=1,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    return transform, timm.__version__


def main() -> None:
    p = argparse.ArgumentParser(description="Images a second of the torchvision + Pillow pipeline")
    p.add_argument("--data_path", required=True, type=Path, help="image folder: one sub-folder a class")
    p.add_argument("--transform", choices=["pretrain", "finetune"], default="pretrain")
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--warmup", type=int, default=50, help="images before the clock starts")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    if not args.data_path.is_dir():
        p.error(f"--data_path {args.data_path}: no such folder")
    if not args.seconds > 0:
        p.error("--seconds must be above 0")
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    torchvision, missing = load_torchvision()
    from torchvision import datasets, transforms

    import PIL

    if args.transform == "finetune":
        transform, timm_version = fine_tuning()
    else:
        transform, timm_version = TwoViews(transforms), None
    data = datasets.ImageFolder(str(args.data_path), transform)
    order = list(range(len(data)))
    random.Random(args.seed).shuffle(order)
    for i in range(args.warmup):
        data[order[i % len(order)]]
    count, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < args.seconds:
        data[order[count % len(order)]]
        count += 1
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    line = {
        "peer": "torchvision",
        "transform": args.transform,
        "version": torchvision.__version__,
        "timm": timm_version,
        "pillow": PIL.__version__,
        "images_per_s": round(count / wall, 2),
        "images_per_cpu_s": round(count / used, 2),
        "images": count,
        "seconds": round(wall, 3),
        "files": len(data),
        "mean_file_kib": round(sum(os.path.getsize(f) for f, _ in data.samples) / len(data) / 1024, 1),
        "compiled_operators": not missing,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
