"""Compares the PyTorch peer with golden fixtures: check_torch_peer.py FIXTURE.safetensors...

Prints the relative error ‖a-b‖/‖b‖ (float64) of every tensor over 1e-5 and the worst of each fixture; exits 1
past 1e-4. A parameter whose expected gradient is under 1e-6 of the total norm has only rounding noise for a
gradient: it is compared absolutely, and its value after the steps is left out.
"""

import json
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from torch_cae import Cae, CaeConfig, adamw, cae_losses, sincos_table
from torch_tokenizers import DalleDecoder, DalleEncoder, DiscreteVae

TOLERANCE = 1e-4
DTYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32, "I64": torch.int64, "U8": torch.uint8}


def read_safetensors(path: Path) -> tuple[str, dict, dict[str, torch.Tensor]]:
    """(kind, config, tensors) of a fixture."""
    data = bytearray(path.read_bytes())
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    meta = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[8 + n + start : 8 + n + end]), dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return meta["kind"], json.loads(meta["config"]), tensors


class Report:
    """Collects relative errors of one fixture."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors, self.errors, self.compared = tensors, {}, set()

    def add(self, name: str, value: torch.Tensor) -> None:
        """Compares with `expect.<name>`; integer tensors must be equal."""
        self.against(name, value, self.tensors[f"expect.{name}"])

    def against(self, name: str, value: torch.Tensor, expected: torch.Tensor, norm: float | None = None) -> None:
        self.compared.add(name)
        if tuple(value.shape) != tuple(expected.shape):
            raise SystemExit(f"{name}: shape {tuple(value.shape)}, the fixture has {tuple(expected.shape)}")
        a, b = value.detach().double(), expected.double()
        if not expected.is_floating_point():
            self.errors[name] = 0.0 if torch.equal(a, b) else float("inf")
            return
        self.errors[name] = float((a - b).norm()) / (norm or float(b.norm()) or 1.0)


def load(model: torch.nn.Module, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    """Loads every `param.<prefix>` tensor; names must match exactly, both ways."""
    head = f"param.{prefix}"
    state = {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
    model.load_state_dict(state, strict=True)


def check_cae(config: dict, t: dict[str, torch.Tensor], report: Report) -> None:
    model = Cae(CaeConfig(**config["model"]))
    aligned = [k for k in t if k.startswith("param.alignment_encoder.")]
    for k in aligned:
        report.against(k, t[k], t[k.replace("alignment_encoder", "encoder")])
    load(model, {k: v for k, v in t.items() if k not in aligned}, "")
    grid = config["model"]["img_size"] // config["model"]["patch_size"]
    report.against("sincos_table", sincos_table(grid, config["model"]["embed_dim"]), t["param.encoder.pos_embed"])
    masked, labels = t["input.mask"].bool(), t["input.labels"].long()
    optim = config["optim"]
    optimizer = adamw(model, optim["lr"][0], optim["weight_decay"][0], optim["betas"], optim["eps"])
    expected = {k[len("expect.grad.") :]: v for k, v in t.items() if k.startswith("expect.grad.")}
    total = sum(float(g.double().square().sum()) for g in expected.values()) ** 0.5
    noise_only = {k for k, g in expected.items() if float(g.double().norm()) < 1e-6 * total}
    losses, norms = [], []
    model.train()
    for step, (lr, decay) in enumerate(zip(optim["lr"], optim["weight_decay"])):
        for group in optimizer.param_groups:
            group["lr"] = lr
            if group["weight_decay"] > 0:
                group["weight_decay"] = decay
        logits, predict, target = model(t["input.images"], masked)
        main, align = cae_losses(logits, predict, target, labels, config["align_loss_weight"])
        optimizer.zero_grad()
        (main + align).backward()
        if step == 0:
            for name, value in [("logits", logits), ("latent_predict", predict), ("latent_target", target)]:
                report.add(name, value)
            report.add("loss_main", main)
            report.add("loss_align", align)
            for name, p in model.named_parameters():
                if (p.grad is None) != (name not in expected):
                    raise SystemExit(f"{name}: has a gradient on one side only")
                if p.grad is not None:
                    report.against(f"grad.{name}", p.grad, expected[name], total if name in noise_only else None)
        losses.append((main + align).detach())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), optim["clip_grad"]))
        optimizer.step()
    report.add("loss_per_step", torch.stack(losses))
    report.add("grad_norm", torch.stack(norms))
    for name, p in model.named_parameters():
        if p.requires_grad and name not in noise_only:
            report.add(f"param_after.{name}", p)


def check_dalle(config: dict, t: dict[str, torch.Tensor], report: Report) -> None:
    sizes = {k: config[k] for k in ("n_hid", "n_blk_per_group", "vocab_size")}
    encoder, decoder = DalleEncoder(**sizes), DalleDecoder(n_init=config["n_init"], **sizes)
    load(encoder, t, "encoder.")
    load(decoder, t, "decoder.")
    with torch.no_grad():
        logits = encoder(t["input.images"])
        indices = logits.argmax(dim=1)
        one_hot = F.one_hot(indices, config["vocab_size"]).permute(0, 3, 1, 2).float()
        report.add("logits", logits)
        report.add("indices", indices)
        report.add("reconstruction", decoder(one_hot))


def check_discrete(config: dict, t: dict[str, torch.Tensor], report: Report) -> None:
    names = ("num_tokens", "codebook_dim", "num_layers", "num_resnet_blocks", "hidden_dim")
    model = DiscreteVae(**{k: config[k] for k in names})
    load(model, t, "")
    with torch.no_grad():
        logits = model.encoder(t["input.images"])
        indices = logits.argmax(dim=1)
        one_hot = F.one_hot(indices, config["num_tokens"]).permute(0, 3, 1, 2).float()
        report.add("logits", logits)
        report.add("indices", indices.flatten(1))
        report.add("reconstruction", model.decode(one_hot))
    loss, soft = model.loss(t["input.images"], t["input.gumbel_noise"], config["temperature"])
    loss.backward()
    report.add("loss", loss)
    report.add("soft_reconstruction", soft)
    for name, p in model.named_parameters():
        report.add(f"grad.{name}", p.grad)


CHECKS = {"cae-step": check_cae, "dalle-dvae": check_dalle, "discrete-vae": check_discrete}


def main(paths: list[str]) -> int:
    if not paths:
        raise SystemExit("usage: check_torch_peer.py FIXTURE.safetensors...")
    failed = False
    for path in paths:
        kind, config, tensors = read_safetensors(Path(path))
        if kind not in CHECKS:
            raise SystemExit(f"{path}: no check for fixtures of kind '{kind}' (known: {', '.join(CHECKS)})")
        report = Report(tensors)
        CHECKS[kind](config, tensors, report)
        expected = {k[len("expect.") :] for k in tensors if k.startswith("expect.")}
        for name, error in report.errors.items():
            if not error <= 1e-5:
                print(f"  {name}: {error:.3e}")
        worst = max(report.errors, key=lambda k: report.errors[k])
        bad = not all(error <= TOLERANCE for error in report.errors.values())
        left_out = sorted(expected - report.compared)
        print(
            f"{'FAIL' if bad else 'ok'} {Path(path).name}: {len(report.errors)} tensors, worst {worst} "
            f"{report.errors[worst]:.3e}, left out: {left_out or 'none'}"
        )
        failed |= bad
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
