"""Compares what this package's augmentations draw with timm's and torchvision's own draws.

    npm run build
    pip install torch torchvision timm numpy pillow
    python scripts/side-by-side/timm_statistics.py --pictures 100000 --crops 20000
    python scripts/side-by-side/timm_statistics.py --freeze > test/data/timm-statistics.golden.jsonl

Prints, for each quantity, both means and the two-sample Kolmogorov-Smirnov distance beside its 0.1 % critical value,
and exits 1 where one is past it. With --freeze it draws timm's side alone and writes quantiles of each quantity with
their cumulative shares, one a line, which test/data/augmentation-statistics.test.ts compares this package's draws with.
"""

import argparse
import json
import math
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torchvision_import  # noqa: F401
from PIL import Image
from timm.data import auto_augment, mixup, random_erasing
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision import transforms

SIZE = 224


def draw_rand_augment(pictures, lists):
    # With `random` interpolation timm gives the operations none, so that each draws its own.
    hparams = dict(translate_const=int(SIZE * 0.45), img_mean=(124, 116, 104))
    policy = auto_augment.rand_augment_transform("rand-m9-mstd0.5-inc1", hparams)
    names = [op.name for op in policy.ops]
    calls = []

    def recorder(name):
        def record(img, *args, **kwargs):
            calls.append((name, args, kwargs))
            return img

        return record

    for op in policy.ops:
        op.aug_fn = recorder(op.name)
    moving = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}
    for _ in range(pictures):
        calls.clear()
        policy(None)
        lists["randAugment.count"].append(len(calls))
        for name, args, kwargs in calls:
            lists["randAugment.operation"].append(names.index(name))
            if args:
                lists[f"randAugment.{name}"].append(args[0])
            if name in moving:
                drawn = auto_augment._interpolation(dict(kwargs))
                lists["randAugment.filter"].append(int(drawn == Image.Resampling.BICUBIC))


class Recorded:
    """Stands for an image tensor: random erasing assigns to parts of it."""

    def __init__(self):
        self.boxes = []

    def __setitem__(self, key, _):
        self.boxes.append((key[1].start, key[2].start, key[1].stop - key[1].start, key[2].stop - key[2].start))


def draw_erasing(pictures, lists):
    random_erasing._get_pixels = lambda *args, **kwargs: None
    for prefix, count in (("erasing", 1), ("erasing3", 3)):
        erase = random_erasing.RandomErasing(0.25, mode="pixel", max_count=count, device="cpu")
        for _ in range(pictures):
            image = Recorded()
            erase._erase(image, 3, SIZE, SIZE, torch.float32)
            for top, left, height, width in image.boxes:
                lists[f"{prefix}.area"].append(height * width / SIZE**2)
                lists[f"{prefix}.aspect"].append(height / width)
                lists[f"{prefix}.top"].append(top / (SIZE - height))
                lists[f"{prefix}.left"].append(left / (SIZE - width))
            lists[f"{prefix}.count"].append(len(image.boxes))


def add_mix(prefix, mixer, lam, use_cutmix, lists):
    lists[f"{prefix}.mixed"].append(int(lam != 1))
    if lam == 1:
        return
    lists[f"{prefix}.cutmix"].append(int(use_cutmix))
    if not use_cutmix:
        lists[f"{prefix}.mixupLambda"].append(float(lam))
        return
    shape = (8, 3, SIZE, SIZE)
    (yl, yh, xl, xh), lam = mixup.cutmix_bbox_and_lam(shape, lam, ratio_minmax=mixer.cutmix_minmax)
    lists[f"{prefix}.cutmixLambda"].append(float(lam))
    lists[f"{prefix}.height"].append(int(yh - yl))
    lists[f"{prefix}.width"].append(int(xh - xl))


def draw_mixes(pictures, lists):
    common = dict(prob=0.9, switch_prob=0.5, num_classes=10)
    mixer = mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, **common)
    for _ in range(pictures):
        add_mix("mix.batch", mixer, *mixer._params_per_batch(), lists)
    for mode in ("pair", "elem"):
        for lam, cut in zip(*mixer._params_per_elem(pictures)):
            add_mix(f"mix.{mode}", mixer, lam, cut, lists)
    limits = mixup.Mixup(mixup_alpha=0.0, cutmix_minmax=[0.2, 0.8], **common)
    for _ in range(pictures):
        add_mix("mix.minmax", limits, *limits._params_per_batch(), lists)
    lists["mix.extreme.mixupLambda"] = np.random.beta(0.02, 0.02, pictures).astype(np.float32).tolist()


def draw_jitter(pictures, lists):
    jitter = transforms.ColorJitter(0.4, 0.4, 0.4)
    flip = transforms.RandomHorizontalFlip(0.5)
    kinds = ["brightness", "contrast", "saturation"]
    image = torch.tensor([[[0.0, 1.0]]])
    for _ in range(pictures):
        order, *factors, _hue = jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        steps = [int(i) for i in order if i < 3]
        lists["jitter.first"].append(steps[0])
        lists["jitter.last"].append(steps[2])
        for kind, factor in zip(kinds, factors):
            lists[f"jitter.{kind}"].append(factor)
        lists["mirrored"].append(int(flip(image)[0, 0, 0] == 1))


def probe_crop(image):
    """Linear probing's crop: one try, in TensorFlow's manner."""
    width, height = image.size
    area = height * width * torch.empty(1).uniform_(0.08, 1.0).item()
    ratio = math.exp(torch.empty(1).uniform_(math.log(3 / 4), math.log(4 / 3)).item())
    w = min(int(round(math.sqrt(area * ratio))), width)
    h = min(int(round(math.sqrt(area / ratio))), height)
    top = torch.randint(0, height - h + 1, size=(1,)).item()
    left = torch.randint(0, width - w + 1, size=(1,)).item()
    return top, left, h, w


def draw_crops(crops, lists):
    crop = RandomResizedCropAndInterpolation(SIZE, interpolation="random")
    rules = {"crop": lambda image: crop.get_params(image, crop.scale, crop.ratio), "probeCrop": probe_crop}
    for name, rule in rules.items():
        for height, width in ((75, 100), (40, 160)):
            image = Image.new("RGB", (width, height))
            for _ in range(crops):
                top, left, h, w = rule(image)
                prefix = f"{name}.{height}x{width}"
                lists[f"{prefix}.area"].append(h * w / (height * width))
                lists[f"{prefix}.aspect"].append(w / h)
                lists[f"{prefix}.top"].append(0 if h == height else top / (height - h))
                lists[f"{prefix}.left"].append(0 if w == width else left / (width - w))
                chosen = random.choice(crop.interpolation) if name == "crop" else None
                bicubic = chosen is None or chosen == transforms.InterpolationMode.BICUBIC
                lists[f"{name}.filter"].append(int(bicubic))


def draw_all(pictures, crops):
    lists = defaultdict(list)
    draw_rand_augment(pictures, lists)
    draw_erasing(pictures, lists)
    draw_mixes(pictures, lists)
    draw_jitter(pictures, lists)
    draw_crops(crops, lists)
    return {name: np.sort(np.asarray(values, dtype=np.float64)) for name, values in lists.items()}


def share_up_to(values, at):
    # Values of both sides that differ by rounding alone are the same.
    return np.searchsorted(values, np.asarray(at) + 1e-6, side="right") / len(values)


def freeze(quantities):
    for name, values in quantities.items():
        points = sorted({float(f"{v:.6g}") for v in np.quantile(values, np.arange(0.05, 1, 0.1), method="nearest")})
        shares = [round(float(s), 6) for s in share_up_to(values, points)]
        print(json.dumps({"name": name, "samples": len(values), "points": points, "shares": shares}))


def compare(theirs, ours):
    failed = sorted(set(theirs) ^ set(ours))
    for name in failed:
        print(f"{name}: only one side draws it")
    for name in sorted(set(theirs) & set(ours)):
        a, b = theirs[name], np.sort(np.asarray(ours[name], dtype=np.float64))
        grid = np.concatenate([a, b])
        distance = float(np.max(np.abs(share_up_to(a, grid) - share_up_to(b, grid))))
        critical = 1.95 * math.sqrt((len(a) + len(b)) / (len(a) * len(b)))
        verdict = "" if distance <= critical else "  DIFFERS"
        print(f"{name:32} mean {a.mean():9.5f} {b.mean():9.5f}  KS {distance:.5f} (critical {critical:.5f}){verdict}")
        failed += [name] if verdict else []
    return failed


def main():
    p = argparse.ArgumentParser(description="Draws of the augmentations beside timm's and torchvision's")
    p.add_argument("--pictures", type=int, default=100_000)
    p.add_argument("--crops", type=int, default=20_000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--freeze", action="store_true", help="write quantiles of timm's side instead")
    args = p.parse_args()
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    theirs = draw_all(args.pictures, args.crops)
    if args.freeze:
        freeze(theirs)
        return
    script = Path(__file__).with_name("draws.mjs")
    done = subprocess.run(
        ["node", str(script), str(args.pictures), str(args.crops)], capture_output=True, check=True, text=True
    )
    failed = compare(theirs, json.loads(done.stdout))
    if failed:
        sys.exit(f"{len(failed)} quantities differ: {', '.join(failed)}")


if __name__ == "__main__":
    main()
