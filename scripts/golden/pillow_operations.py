"""Writes test/native/pillow-operations.golden.jsonl: what Pillow makes of small pictures, one SHA-256 a line;
the first line is Pillow's version.

    pip install pillow
    python scripts/golden/pillow_operations.py > test/native/pillow-operations.golden.jsonl

The pictures come from an integer formula, which test/native/image-operations.test.ts repeats; a case names its picture
and the operations on it, in the form the native core takes them. The file was made with Pillow 12.3.0.
"""

import hashlib
import json
import random

import PIL
from PIL import Image, ImageEnhance, ImageOps

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
PICTURES = ["noise", "ramp", "narrow", "flat", "blocks"]
SIZES = [1, 2, 3, 8, 17, 31, 48]


def pixels(kind: str, size: int, seed: int) -> bytes:
    state, out = seed, bytearray()
    for i in range(size * size):
        y, x = divmod(i, size)
        for c in range(3):
            state = (state * 1664525 + 1013904223) % 2**32
            noise = state >> 24
            out.append(
                {
                    "noise": noise,
                    "ramp": (3 * x + 5 * y + 40 * c + seed) % 256,
                    "narrow": 100 + noise % (20 + 10 * c),
                    "flat": (37 * c + seed) % 256,
                    "blocks": 255 * ((x // 5 + y // 7 + c + seed) % 2),
                }[kind]
            )
    return bytes(out)


def solarize_add(image, add):
    return image.point([min(255, v + add) if v < 128 else v for v in range(256)] * 3)


def transform(image, operation, matrix):
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        resample=FILTERS[operation["filter"]],
        fillcolor=tuple(operation["fill"]),
    )


def perform(image, operation):
    kind, value = operation["kind"], operation.get("value")
    plain = {
        "mirror": ImageOps.mirror,
        "autoContrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
        "invert": ImageOps.invert,
    }
    if kind in plain:
        return plain[kind](image)
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
        "sharpness": ImageEnhance.Sharpness,
    }
    if kind in enhance:
        return enhance[kind](image).enhance(value)
    if kind == "posterize":
        return ImageOps.posterize(image, value)
    if kind == "solarize":
        return ImageOps.solarize(image, value)
    if kind == "solarizeAdd":
        return solarize_add(image, value)
    if kind == "rotate":
        return image.rotate(value, resample=FILTERS[operation["filter"]], fillcolor=tuple(operation["fill"]))
    width, height = image.size
    matrix = {
        "shearX": (1, value, 0, 0, 1, 0),
        "shearY": (1, 0, 0, value, 1, 0),
        "translateX": (1, 0, value * width if value else 0, 0, 1, 0),
        "translateY": (1, 0, 0, 0, 1, value * height if value else 0),
    }[kind]
    return transform(image, operation, matrix)


def each_operation(draw: random.Random):
    for kind in ("mirror", "autoContrast", "equalize", "invert"):
        for _ in range(len(PICTURES)):
            yield {"kind": kind}
    for bits in range(9):
        yield {"kind": "posterize", "value": bits}
    for threshold in (0, 1, 77, 128, 200, 255, 256):
        yield {"kind": "solarize", "value": threshold}
    for add in (0, 1, 54, 99, 110, 128):
        yield {"kind": "solarizeAdd", "value": add}
    for kind in ("brightness", "contrast", "saturation", "sharpness"):
        for factor in (0.0, 0.1, 0.19, 0.5, 0.81, 1.0, 1.3, 1.81, 1.9, 2.5):
            yield {"kind": kind, "value": factor}
    most = {"rotate": 30, "shearX": 0.3, "shearY": 0.3, "translateX": 0.45, "translateY": 0.45}
    for kind, limit in most.items():
        for name in FILTERS:
            for share in (0.0, 0.1, -0.37, 0.71, -0.9, 1.0):
                value = limit * share * draw.choice([1, 1, draw.random() + 0.5])
                fill = [124, 116, 104] if draw.random() < 0.5 else [draw.randrange(256) for _ in range(3)]
                yield {"kind": kind, "value": value, "filter": name, "fill": fill}


def main() -> None:
    draw = random.Random(20)
    singles = list(each_operation(draw))
    plans = [[operation] for operation in singles]
    plans += [[draw.choice(singles) for _ in range(draw.choice([2, 3]))] for _ in range(60)]
    print(json.dumps({"pillow": PIL.__version__}))
    for number, operations in enumerate(plans):
        kind, size, seed = PICTURES[number % len(PICTURES)], draw.choice(SIZES), draw.randrange(1000)
        if number % 3 == 0:
            kind, size = "noise", 48
        image = Image.frombytes("RGB", (size, size), pixels(kind, size, seed))
        for operation in operations:
            image = perform(image, operation)
        case = {
            "picture": [kind, size, seed],
            "operations": operations,
            "sha256": hashlib.sha256(image.tobytes()).hexdigest(),
        }
        print(json.dumps(case, separators=(",", ":")))


if __name__ == "__main__":
    main()
