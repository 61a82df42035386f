"""Random pictures, sizes and operations through Pillow and through the native core: every byte must be equal.

    npm run build
    pip install pillow numpy
    python scripts/side-by-side/pillow_side_by_side.py --cases 40000

Prints how many cases of each operation were compared, and exits 1 naming the first that differs.
"""

import argparse
import base64
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
from pillow_operations import FILTERS, perform  # noqa: E402

SIZES = [1, 2, 3, 5, 8, 16, 17, 31, 64, 96, 97, 224]
KINDS = ["mirror", "autoContrast", "equalize", "invert", "posterize", "solarize", "solarizeAdd"]
ENHANCED = ["brightness", "contrast", "saturation", "sharpness"]
MOVING = {"rotate": 60.0, "shearX": 0.5, "shearY": 0.5, "translateX": 0.6, "translateY": 0.6}
# Values where a special case may hide.
ROUND = {"rotate": [0.0, 90.0, -90.0, 180.0, 270.0, 30.0, -30.0, 360.0]}


def picture(rng, size):
    grid = np.arange(size)
    wave = np.sin(grid[:, None, None] / 7 + rng.random(3) * 6) * np.cos(grid[None, :, None] / (3 + rng.random(3) * 9))
    kinds = [
        lambda: rng.integers(0, 256, (size, size, 3)),
        lambda: np.full((size, size, 3), rng.integers(0, 256, 3)),
        lambda: rng.integers(100, 140, (size, size, 3)),
        lambda: 128 + 100 * wave,
        lambda: rng.integers(0, 2, (size, size, 3)) * 255,
        lambda: np.clip(rng.normal(128, 60, (size, size, 3)), 0, 255),
    ]
    return kinds[rng.integers(len(kinds))]().astype(np.uint8)


def operation(rng):
    kind = str(rng.choice([*KINDS, *ENHANCED, *MOVING]))
    whole = {"posterize": 9, "solarize": 257, "solarizeAdd": 129}
    if kind in whole:
        return {"kind": kind, "value": int(rng.integers(whole[kind]))}
    if kind in ENHANCED:
        return {"kind": kind, "value": float(rng.choice([rng.random() * 2, rng.random() * 3, 0.0, 0.1, 1.0, 1.9]))}
    if kind not in MOVING:
        return {"kind": kind}
    value = (rng.random() * 2 - 1) * MOVING[kind]
    if rng.random() < 0.1:
        value = rng.choice(ROUND.get(kind, [0.0, 0.1, -0.1, 0.25]))
    fill = [int(c) for c in rng.integers(0, 256, 3)]
    return {"kind": kind, "value": float(value), "filter": str(rng.choice(list(FILTERS))), "fill": fill}


def main():
    p = argparse.ArgumentParser(description="Operations of the native core beside Pillow's")
    p.add_argument("--cases", type=int, default=40_000)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    rng = np.random.default_rng(args.seed)
    core = subprocess.Popen(
        ["node", str(HERE / "apply.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    counts = Counter()
    for number in range(args.cases):
        size = int(rng.choice(SIZES))
        pixels = picture(rng, size)
        operations = [operation(rng) for _ in range(rng.integers(2, 4) if number % 3 == 0 else 1)]
        image = Image.fromarray(pixels)
        for step in operations:
            image = perform(image, step)
            counts["/".join([step["kind"], *([step["filter"]] if "filter" in step else [])])] += 1
        request = {"size": size, "pixels": base64.b64encode(pixels.tobytes()).decode(), "operations": operations}
        core.stdin.write(json.dumps(request) + "\n")
        core.stdin.flush()
        if base64.b64decode(core.stdout.readline()) != image.tobytes():
            core.kill()
            sys.exit(f"case {number} differs: {size}x{size}, {json.dumps(operations)}")
    core.stdin.close()
    core.wait()
    print(json.dumps(dict(sorted(counts.items()))))
    print(f"{args.cases} pictures, all bytes equal")


if __name__ == "__main__":
    main()
