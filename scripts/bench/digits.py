"""Writes scikit-learn's digits (1,797 pictures of 8x8 pixels, ten classes) as PNG files in the image-folder layout.

    python scripts/bench/digits.py OUT --size 64

OUT/train/<digit>/NNNN.png and OUT/val/<digit>/NNNN.png, every fifth picture of a class in val, scaled up bicubically.
"""

import argparse
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits


def main() -> None:
    p = argparse.ArgumentParser(description="scikit-learn's digits as folders of PNG files")
    p.add_argument("out", type=Path)
    p.add_argument("--size", type=int, default=64, help="side of the pictures [pixels]")
    args = p.parse_args()
    if args.size < 8:
        p.error("--size must be at least 8")
    if args.out.exists():
        p.error(f"{args.out} is there already: name a new folder, or remove it first")
    digits = load_digits()
    counts = [0] * 10
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target)):
        half = "val" if counts[label] % 5 == 4 else "train"
        counts[label] += 1
        folder = args.out / half / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        # Values are 0 to 16.
        grey = Image.fromarray((255 - pixels * (255 / 16)).astype("uint8"))
        grey.resize((args.size, args.size), Image.Resampling.BICUBIC).convert("RGB").save(folder / f"{number:04d}.png")


if __name__ == "__main__":
    main()
