"""Imports torchvision also where its compiled operators do not match the installed torch.

Only transforms of PIL pictures are used, which are pure Python. A torchvision built for another torch fails on import
because `nms` and `qnms` are not registered; declaring them first is enough.
"""

import torch

_library = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    try:
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass  # registered already: this torchvision fits

import torchvision  # noqa: E402, F401
