"""Writes a folder of 500x375 JPEGs (quality 90) with detail at several scales, for timing loaders on equal files.

    python make_jpegs.py FOLDER --count 200

Each picture sums noise at several scales, falling with frequency; two classes. Seeded, so files are the same for
a given Pillow. Needs Pillow and numpy.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375


def picture(rng: np.random.Generator) -> Image.Image:
    """Noise at cell sizes 128..2 pixels, amplitudes falling with the frequency."""
    total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cell in (128, 64, 32, 16, 8, 4, 2):
        shape = (HEIGHT // cell + 2, WIDTH // cell + 2, 3)
        noise = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        layer = np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32) - 128
        total += layer * (cell / 128) ** 0.6
    return Image.fromarray(np.clip(total * 0.6 + 128, 0, 255).astype(np.uint8))


def main() -> None:
    p = argparse.ArgumentParser(description="Writes JPEGs for timing loaders")
    p.add_argument("folder", type=Path)
    p.add_argument("--count", type=int, default=200)
    args = p.parse_args()
    rng = np.random.default_rng(0)
    for i in range(args.count):
        path = args.folder / f"class{i % 2}" / f"{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(rng).save(path, quality=90)


if __name__ == "__main__":
    main()
