"""What PyTorch, safetensors and timm make of the files that `cae-native convert` writes.

    npm run build && python scripts/check_torch_load.py FIXTURES [RUN_CHECKPOINT]

FIXTURES is the folder of the golden fixtures; RUN_CHECKPOINT the folder of a pretraining run's checkpoint. Needs torch
and safetensors; timm where it is installed. Each line printed is a check that held; the first that does not stops.
"""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / "scripts" / "bench"))
import torch_cae  # noqa: E402

work = Path(tempfile.mkdtemp(prefix="cae-torch-"))


def convert(source, target, *flags) -> Path:
    command = ["node", root / "dist/cli/main.js", "convert", source, target, *flags]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return Path(target)


def ok(what: str) -> None:
    print(f"ok  {what}", flush=True)


def bits(t: torch.Tensor) -> torch.Tensor:
    return t.contiguous().reshape(-1).view(torch.uint8) if t.numel() else t.reshape(-1)


def same(a: dict, b: dict) -> None:
    assert list(sorted(a)) == list(sorted(b)), set(a) ^ set(b)
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype and tensor.shape == b[name].shape, name
        assert torch.equal(bits(tensor), bits(b[name])), name


def reference_model(state: dict) -> torch.nn.Module:
    """The reference's module tree for these weights, alignment encoder included."""
    width = state["encoder.cls_token"].shape[-1]
    patch = state["encoder.patch_embed.proj.weight"].shape[-1]
    grid = round((state["encoder.pos_embed"].shape[1] - 1) ** 0.5)

    def depth(prefix: str) -> int:
        return 1 + max(int(name.split(".")[2]) for name in state if name.startswith(prefix))

    config = torch_cae.CaeConfig(
        img_size=grid * patch,
        patch_size=patch,
        embed_dim=width,
        depth=depth("encoder.blocks."),
        num_heads=2 if width < 192 else 12,
        decoder_embed_dim=state["mask_token"].shape[-1],
        decoder_num_heads=2 if width < 192 else 12,
        decoder_num_classes=state["decoder.head.weight"].shape[0],
        regressor_depth=depth("regresser.regressor_blocks."),
        decoder_depth=depth("decoder.decoder_blocks."),
        layer_scale_init_value=0.1 if "encoder.blocks.0.gamma_1" in state else 0.0,
    )
    model = torch_cae.Cae(config)
    model.alignment_encoder = torch_cae.Encoder(dataclasses.replace(config))
    return model


def check_strict(path: Path) -> dict:
    whole = torch.load(path, weights_only=True) if path.suffix == ".pth" else {"model": load_file(path)}
    state = whole["model"]
    reference_model(state).load_state_dict(state, strict=True)
    ok(f"{path.name}: {len(state)} tensors load with strict=True into the reference's module tree")
    return whole


def check_formats() -> None:
    """Every dtype, odd shapes, views and shared tensors: .pth -> .safetensors -> .pth, both layouts."""
    g = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=g)
    state = {
        "f32": base,
        "again": base,
        "transposed": base.t(),
        "part": base[2:4, 1:],
        "bf16": torch.randn(3, 5, generator=g).bfloat16(),
        "f16": torch.randn(7, generator=g).half(),
        "f64": torch.randn(2, generator=g).double(),
        "i64": torch.tensor(-3),
        "u8": torch.arange(5, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "empty": torch.empty(0, 3),
        "one": torch.ones(1, 1, 1),
    }
    for legacy in (False, True):
        source = work / f"dtypes_{legacy}.pth"
        torch.save({"model": state}, source, _use_new_zipfile_serialization=not legacy)
        tensors = convert(source, work / f"dtypes_{legacy}.safetensors")
        back = convert(tensors, work / f"dtypes_{legacy}_back.pth")
        direct = convert(source, work / f"dtypes_{legacy}_direct.pth")
        again = convert(back, work / f"dtypes_{legacy}_again.safetensors")
        same(state, load_file(tensors))
        same(state, torch.load(back, weights_only=True)["model"])
        loaded = torch.load(direct, weights_only=True, mmap=True)["model"]
        same(state, loaded)
        assert loaded["f32"].data_ptr() == loaded["again"].data_ptr()
        assert tensors.read_bytes() == again.read_bytes()
    ok("every dtype comes back bit-exact from .pth (both layouts) -> .safetensors -> .pth -> .safetensors")
    save_file({"w": torch.ones(2)}, work / "meta.safetensors", metadata={"who": "me"})
    assert (convert(convert(work / "meta.safetensors", work / "meta.pth"), work / "meta2.safetensors").read_bytes()) == (
        work / "meta.safetensors"
    ).read_bytes()
    ok("a safetensors file's metadata survive the way through .pth")


def check_fixture(fixtures: Path) -> None:
    whole = torch.load(fixtures / "reference_checkpoint.pth", weights_only=False)
    for name in ("reference_checkpoint", "reference_checkpoint_legacy"):
        path = convert(fixtures / f"{name}.pth", work / f"{name}.pth")
        loaded = check_strict(path)
        same(whole["model"], loaded["model"])
        assert loaded["args"] == vars(whole["args"]) and loaded["epoch"] == whole["epoch"]
        check_strict(convert(path, work / f"{name}.safetensors"))
        for index, entry in whole["optimizer"]["state"].items():
            same(entry, loaded["optimizer"]["state"][index])
    heads = ("--num_heads", 2, "--decoder_num_heads", 2)
    run = convert(fixtures / "reference_checkpoint.pth", work / "fixture_checkpoint-3", *heads)
    back = check_strict(convert(run, work / "from_run.pth"))
    for index, entry in whole["optimizer"]["state"].items():
        same(entry, back["optimizer"]["state"][index])
    ok("the reference's checkpoint -> a run's folder -> .pth: the optimizer's state is the same, by number")


def check_run(folder: Path) -> None:
    whole = check_strict(convert(folder, work / "run.pth"))
    state = whole["model"]
    model = reference_model(state)
    model.load_state_dict(state, strict=True)
    groups = torch_cae.parameter_groups(model, 0.05)
    for p in model.alignment_encoder.parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.AdamW(torch_cae.parameter_groups(model, 0.05), lr=1e-3)
    assert len(groups) == 2
    optimizer.load_state_dict(whole["optimizer"])
    ok("torch.optim.AdamW takes up the run's optimizer state")
    assert state["encoder.cls_token"].data_ptr() == state["alignment_encoder.cls_token"].data_ptr()
    check_strict(convert(folder, work / "run.safetensors"))
    check_timm(folder, model)


def check_timm(folder: Path, model: torch.nn.Module) -> None:
    try:
        from timm.models.vision_transformer import VisionTransformer
    except (ImportError, RuntimeError):  # torchvision, which timm imports, may be built for another PyTorch
        print("--  timm cannot be imported: its check is left out")
        return
    path = convert(folder, work / "timm.safetensors", "--to", "timm")
    state = load_file(path)
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    side = patch * round((state["pos_embed"].shape[1] - 1) ** 0.5)
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    heads = 2 if width < 192 else 12
    scale = 1e-5 if "blocks.0.ls1.gamma" in state else None
    vit = VisionTransformer(
        img_size=side, patch_size=patch, embed_dim=width, depth=depth, num_heads=heads, num_classes=0, init_values=scale
    ).eval()
    vit.load_state_dict(state, strict=True)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model.encoder(images, torch.ones(2, (side // patch) ** 2, dtype=torch.bool))
        theirs = vit.forward_features(images)
    error = (F.mse_loss(theirs, ours).sqrt() / ours.square().mean().sqrt()).item()
    assert error < 1e-5, error
    ok(f"timm's VisionTransformer loads it with strict=True; its features differ by {error:.1e}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    check_formats()
    check_fixture(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        check_run(Path(sys.argv[2]))
