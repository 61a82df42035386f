"""The classifier that fine-tuning trains, in plain eager PyTorch, built of torch_cae.py's parts.

Sine-cosine positions, a relative position bias of its own in every block, mean of the patch tokens, `fc_norm`, `head`;
parameter names are the reference's. `check_torch_vit.py` holds it against a golden fixture.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_cae import CaeConfig, Encoder, drop_path_rates, layer_norm


def relative_position_index(grid: int) -> torch.Tensor:
    """Row of the bias table for each pair of tokens, [1 + grid², 1 + grid²]; its last three rows are the cls token's."""
    axis = torch.arange(grid)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()])
    offsets = places[:, :, None] - places[:, None, :] + grid - 1
    inner = offsets[0] * (2 * grid - 1) + offsets[1]
    count = (2 * grid - 1) ** 2 + 3
    index = torch.empty(grid * grid + 1, grid * grid + 1, dtype=torch.long)
    index[1:, 1:] = inner
    index[0, :], index[:, 0], index[0, 0] = count - 3, count - 2, count - 1
    return index


class BiasedAttention(nn.Module):
    """torch_cae's self-attention with a relative position bias added to the scores."""

    def __init__(self, dim: int, heads: int, grid: int, kind: str):
        super().__init__()
        self.heads, self.scale, self.kind = heads, (dim // heads) ** -0.5, kind
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * grid - 1) ** 2 + 3, heads))
        self.register_buffer("relative_position_index", relative_position_index(grid))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        tokens = self.relative_position_index.shape[0]
        table = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        position = table.view(tokens, tokens, -1).permute(2, 0, 1).contiguous()[None]
        if self.kind == "sdpa":
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=position.to(q.dtype), scale=self.scale)
        else:
            out = ((q * self.scale) @ k.transpose(-2, -1) + position).softmax(dim=-1) @ v
        return self.proj(out.transpose(1, 2).flatten(2))


class Classifier(nn.Module):
    def __init__(self, c: CaeConfig, classes: int):
        super().__init__()
        encoder = Encoder(c)
        grid = c.img_size // c.patch_size
        self.cls_token, self.patch_embed, self.blocks = encoder.cls_token, encoder.patch_embed, encoder.blocks
        self.register_buffer("pos_embed", encoder.pos_embed)
        for block, _ in zip(self.blocks, drop_path_rates(c.depth, c.drop_path)):
            block.attn = BiasedAttention(c.embed_dim, c.num_heads, grid, c.attention)
        self.fc_norm = layer_norm(c.embed_dim)
        self.head = nn.Linear(c.embed_dim, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x[:, 1:].mean(dim=1)))


def layer_decay_groups(model: Classifier, depth: int, layer_decay: float, lr: float, weight_decay: float) -> list[dict]:
    """A group for each layer and kind: early layers learn slower; no decay for 1-D parameters, biases, cls_token."""
    groups: dict[tuple, dict] = {}
    for name, p in model.named_parameters():
        if name == "cls_token" or name.startswith("patch_embed"):
            layer = 0
        elif name.startswith("blocks."):
            layer = int(name.split(".")[1]) + 1
        else:
            layer = depth + 1
        decayed = p.ndim > 1 and not name.endswith(".bias") and name != "cls_token"
        group = groups.setdefault(
            (layer, decayed),
            {
                "params": [],
                "lr": lr * layer_decay ** (depth + 1 - layer),
                "weight_decay": weight_decay if decayed else 0.0,
            },
        )
        group["params"].append(p)
    return list(groups.values())


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (-targets * F.log_softmax(logits.float(), dim=-1)).sum(dim=-1).mean()
