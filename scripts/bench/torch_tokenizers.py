"""Tokenizers in plain eager PyTorch, with the parameter names of the files users have.

* DalleEncoder / DalleDecoder: the DALL-E dVAE (`blocks.group_1.block_1.res_path.conv_1.w`, ...).
* DiscreteVae: the customized tokenizer (`codebook`, `encoder`, `decoder`).
"""

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F


class Conv(nn.Module):
    """'Same' convolution whose parameters are called w [out,in,k,k] and b [out]."""

    def __init__(self, n_in: int, n_out: int, kernel: int):
        super().__init__()
        self.w = nn.Parameter(torch.empty(n_out, n_in, kernel, kernel).normal_(std=(n_in * kernel**2) ** -0.5))
        self.b = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.w, self.b, padding=(self.w.shape[-1] - 1) // 2)


class ResBlock(nn.Module):
    """id_path(x) + gain * res_path(x); kernels are those of conv_1..conv_4, widths n_out/4 inside."""

    def __init__(self, n_in: int, n_out: int, kernels: tuple[int, ...], gain: float):
        super().__init__()
        self.gain = gain
        self.id_path = Conv(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        hidden = n_out // 4
        widths = [n_in, hidden, hidden, hidden, n_out]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, kernel in enumerate(kernels):
            layers[f"relu_{i + 1}"] = nn.ReLU()
            layers[f"conv_{i + 1}"] = Conv(widths[i], widths[i + 1], kernel)
        self.res_path = nn.Sequential(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.id_path(x) + self.gain * self.res_path(x)


def groups(widths: list[int], blocks: int, kernels: tuple[int, ...], between: nn.Module):
    """group_1..group_4 of `blocks` blocks; `between` follows each group except the last."""
    gain = 1.0 / (4 * blocks) ** 2
    for g in range(4):
        group: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(blocks):
            group[f"block_{i + 1}"] = ResBlock(widths[g] if i == 0 else widths[g + 1], widths[g + 1], kernels, gain)
        if g < 3:
            group["pool" if isinstance(between, nn.MaxPool2d) else "upsample"] = between
        yield f"group_{g + 1}", nn.Sequential(group)


class DalleEncoder(nn.Module):
    """Images [B,3,H,W] in [0.1,0.9] -> token logits [B, vocabulary, H/8, W/8]."""

    def __init__(self, n_hid: int = 256, n_blk_per_group: int = 2, vocab_size: int = 8192):
        super().__init__()
        widths = [n_hid, n_hid, 2 * n_hid, 4 * n_hid, 8 * n_hid]
        self.blocks = nn.Sequential(
            OrderedDict(
                [
                    ("input", Conv(3, n_hid, 7)),
                    *groups(widths, n_blk_per_group, (3, 3, 3, 1), nn.MaxPool2d(2)),
                    ("output", nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=Conv(8 * n_hid, vocab_size, 1)))),
                ]
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x)


class DalleDecoder(nn.Module):
    """One-hot tokens [B, vocabulary, h, w] -> [B, 6, 8h, 8w]; sigmoid of the first 3 channels is the picture."""

    def __init__(self, n_hid: int = 256, n_init: int = 128, n_blk_per_group: int = 2, vocab_size: int = 8192):
        super().__init__()
        widths = [n_init, 8 * n_hid, 4 * n_hid, 2 * n_hid, n_hid]
        upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.blocks = nn.Sequential(
            OrderedDict(
                [
                    ("input", Conv(vocab_size, n_init, 1)),
                    *groups(widths, n_blk_per_group, (1, 3, 3, 3), upsample),
                    ("output", nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=Conv(n_hid, 6, 1)))),
                ]
            )
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.blocks(tokens)


class PlainResBlock(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1), nn.ReLU(), nn.Conv2d(dim, dim, 3, padding=1), nn.ReLU(), nn.Conv2d(dim, dim, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) + x


class DiscreteVae(nn.Module):
    """The customized tokenizer: strided convolutions, residual blocks, a codebook, and the mirror of it."""

    def __init__(self, num_tokens=8192, codebook_dim=512, num_layers=3, num_resnet_blocks=0, hidden_dim=256):
        super().__init__()
        self.codebook = nn.Embedding(num_tokens, codebook_dim)
        h = hidden_dim
        down = [
            nn.Sequential(nn.Conv2d(h if i else 3, h, 4, stride=2, padding=1), nn.ReLU()) for i in range(num_layers)
        ]
        # With no residual blocks the codes go straight into the transposed convolutions, without a 1x1.
        start = [nn.Conv2d(codebook_dim, h, 1)] if num_resnet_blocks > 0 else []
        first = h if num_resnet_blocks > 0 else codebook_dim
        up = [
            nn.Sequential(nn.ConvTranspose2d(h if i else first, h, 4, stride=2, padding=1), nn.ReLU())
            for i in range(num_layers)
        ]
        res = lambda: [PlainResBlock(h) for _ in range(num_resnet_blocks)]  # noqa: E731
        self.encoder = nn.Sequential(*down, *res(), nn.Conv2d(h, num_tokens, 1))
        self.decoder = nn.Sequential(*start, *res(), *up, nn.Conv2d(h, 3, 1))

    def decode(self, weights: torch.Tensor) -> torch.Tensor:
        """Mixture of codes, weights [B, tokens, h, w] -> picture."""
        return self.decoder(torch.einsum("bnhw,nd->bdhw", weights, self.codebook.weight))

    def loss(self, images: torch.Tensor, noise: torch.Tensor, temperature: float):
        """Gumbel-softmax over given standard Gumbel noise: (mean squared error, soft reconstruction)."""
        soft = ((self.encoder(images) + noise) / temperature).softmax(dim=1)
        out = self.decode(soft)
        return F.mse_loss(images, out), out
