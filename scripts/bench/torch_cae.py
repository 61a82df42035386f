"""CAE pretraining model in plain eager PyTorch: the peer that cae-native is measured against.

Parameter names are those of the reference implementation. Only torch and the standard library are needed.
`check_torch_peer.py` compares this file with the golden fixtures. What they settle:

* Token order: visible and masked patches both keep raster order (boolean indexing, row-major); the rows of
  `logits` and `labels` are image by image, in raster order of the masked patches.
* The patch convolution runs over all patches, and only then are rows selected.
* The position table is added after `cls_token` is put in front; its row 0 is zeros.
* Regressor keys/values are cat([visible latents, current queries]): visible first, no cls token (attention
  cannot see this order, as long as positions follow it). Positions
  (`rd_pos_embed` without its row 0, in the same order) go to q and k *before* `norm1_q`/`norm1_k`; v gets
  none. Queries in kv are those entering the block; the visible latents never change.
* The second residual of a regressor block starts from the *normalised* sum:
  z = norm2_cross(q + ...); out = z + gamma_2_cross * mlp_cross(z).
* The decoder adds `rd_pos_embed`'s masked rows once, before its first block.
* The alignment pass is `encoder(images, ~mask)` at the current weights, without gradient, its cls token
  dropped; with a projection, `encoder_to_regresser` and its norm are applied to it without gradient too.
  `alignment_encoder.*` in a checkpoint equals `encoder.*` bit for bit.
* `loss_align` is already multiplied by `align_loss_weight`: total = loss_main + loss_align.
* With layer scale 0 `gamma_1`/`gamma_2` do not exist, while `gamma_*_cross` still multiply but are not trained.
* The encoder learns through the regressor's keys and values only (both losses); its cls output is dropped, so
  `encoder.cls_token` learns through attention inside the encoder.
"""

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class CaeConfig:
    """Sizes of a CAE. Widths in channels, depths in blocks, `img_size` and `patch_size` in pixels."""

    img_size: int = 224
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4
    regressor_depth: int = 4
    decoder_depth: int = 4
    decoder_embed_dim: int = 768
    decoder_num_heads: int = 12
    decoder_num_classes: int = 8192
    layer_scale_init_value: float = 0.1
    decoder_layer_scale_init_value: float = 0.1
    drop_path: float = 0.0
    attention: str = "eager"


MODELS = {
    "tiny": dict(embed_dim=192, depth=12, num_heads=12),
    "small": dict(embed_dim=384, depth=12, num_heads=12),
    "base": dict(embed_dim=768, depth=12, num_heads=12),
    "large": dict(
        embed_dim=1024, depth=24, num_heads=16, decoder_embed_dim=1024, decoder_num_heads=16, layer_scale_init_value=1e-5
    ),
}


def sincos_table(grid: int, dim: int) -> torch.Tensor:
    """Fixed positions [1, 1 + grid², dim]: a zero row for cls, then [sin r, cos r, sin c, cos c] per patch."""
    omega = 1.0 / 10000 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim // 4))
    axis = torch.arange(grid, dtype=torch.float32)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    row, column = row.flatten()[:, None] * omega, column.flatten()[:, None] * omega
    patches = torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)
    return torch.cat([torch.zeros(1, dim), patches])[None]


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, kind: str) -> torch.Tensor:
    """[B, heads, n, d] each -> [B, n, heads*d]. "eager" is the reference's; "sdpa" is torch's fused kernel."""
    if kind == "sdpa":
        out = F.scaled_dot_product_attention(q, k, v, scale=scale)
    else:
        out = ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
    return out.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Self-attention: joint `qkv` without bias, plus `q_bias` and `v_bias` (the key has none)."""

    def __init__(self, dim: int, heads: int, kind: str):
        super().__init__()
        self.heads, self.scale, self.kind = heads, (dim // heads) ** -0.5, kind
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attend(q, k, v, self.scale, self.kind))


class CrossAttention(nn.Module):
    """Attention of queries over given keys and values, with separate `q`, `k`, `v` weights."""

    def __init__(self, dim: int, heads: int, kind: str):
        super().__init__()
        self.heads, self.scale, self.kind = heads, (dim // heads) ** -0.5, kind
        self.q = nn.Linear(dim, dim, bias=False)
        self.k = nn.Linear(dim, dim, bias=False)
        self.v = nn.Linear(dim, dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q = F.linear(q, self.q.weight, self.q_bias)
        k = F.linear(k, self.k.weight)
        v = F.linear(v, self.v.weight, self.v_bias)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return self.proj(attend(q, k, v, self.scale, self.kind))


class Mlp(nn.Module):
    def __init__(self, dim: int, ratio: float):
        super().__init__()
        self.fc1 = nn.Linear(dim, int(dim * ratio))
        self.fc2 = nn.Linear(int(dim * ratio), dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class DropPath(nn.Module):
    """Stochastic depth: whole samples are dropped at `rate`, survivors are divided by 1 - rate."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.rate == 0 or not self.training:
            return x
        keep = 1 - self.rate
        return x * x.new_empty(x.shape[0], 1, 1).bernoulli_(keep).div_(keep)


def layer_norm(dim: int) -> nn.LayerNorm:
    return nn.LayerNorm(dim, eps=1e-6)


class Block(nn.Module):
    """Pre-norm transformer block of encoder and decoder; gammas exist only where layer scale is above 0."""

    def __init__(self, dim: int, heads: int, ratio: float, drop_path: float, layer_scale: float, kind: str):
        super().__init__()
        self.norm1, self.attn = layer_norm(dim), Attention(dim, heads, kind)
        self.norm2, self.mlp = layer_norm(dim), Mlp(dim, ratio)
        self.drop_path = DropPath(drop_path)
        self.gamma_1 = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale > 0 else None
        self.gamma_2 = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale > 0 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.attn(self.norm1(x))
        x = x + self.drop_path(a if self.gamma_1 is None else self.gamma_1 * a)
        m = self.mlp(self.norm2(x))
        return x + self.drop_path(m if self.gamma_2 is None else self.gamma_2 * m)


class RegresserBlock(nn.Module):
    """Cross-attention block of the latent contextual regressor."""

    def __init__(self, dim: int, heads: int, ratio: float, drop_path: float, layer_scale: float, kind: str):
        super().__init__()
        self.norm1_q, self.norm1_k, self.norm1_v = layer_norm(dim), layer_norm(dim), layer_norm(dim)
        self.norm2_cross = layer_norm(dim)
        self.cross_attn, self.mlp_cross = CrossAttention(dim, heads, kind), Mlp(dim, ratio)
        self.drop_path = DropPath(drop_path)
        value, trained = (layer_scale, True) if layer_scale > 0 else (1.0, False)
        self.gamma_1_cross = nn.Parameter(torch.full((dim,), value), requires_grad=trained)
        self.gamma_2_cross = nn.Parameter(torch.full((dim,), value), requires_grad=trained)

    def forward(self, q: torch.Tensor, kv: torch.Tensor, pos_q: torch.Tensor, pos_kv: torch.Tensor) -> torch.Tensor:
        a = self.cross_attn(self.norm1_q(q + pos_q), self.norm1_k(kv + pos_kv), self.norm1_v(kv))
        z = self.norm2_cross(q + self.drop_path(self.gamma_1_cross * a))
        return z + self.drop_path(self.gamma_2_cross * self.mlp_cross(z))


def drop_path_rates(depth: int, last: float) -> list[float]:
    """Rates rising linearly from 0 to `last`; every stack of blocks has its own ramp."""
    return torch.linspace(0, last, depth).tolist()


class PatchEmbed(nn.Module):
    def __init__(self, patch: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


def select(x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Rows of x [B, N, C] in raster order: where keep [B, N] (bool) is true, equally many in every image, as the
    reference does it; or those that keep [B, n] (int64) names, whose shape a compiler knows beforehand."""
    if keep.dtype == torch.bool:
        return x[keep].reshape(x.shape[0], -1, x.shape[2])
    return x.gather(1, keep[:, :, None].expand(-1, -1, x.shape[2]))


class Encoder(nn.Module):
    def __init__(self, c: CaeConfig):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.embed_dim))
        self.register_buffer("pos_embed", sincos_table(c.img_size // c.patch_size, c.embed_dim))
        self.patch_embed = PatchEmbed(c.patch_size, c.embed_dim)
        rates = drop_path_rates(c.depth, c.drop_path)
        self.blocks = nn.ModuleList(
            Block(c.embed_dim, c.num_heads, c.mlp_ratio, r, c.layer_scale_init_value, c.attention) for r in rates
        )
        self.norm = layer_norm(c.embed_dim)

    def forward(self, images: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """images [B,3,H,W], keep: the patches to see, as in `select` -> latents [B, 1 + kept, C], cls first."""
        patches = select(self.patch_embed(images), keep)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        pos = self.pos_embed.expand(len(images), -1, -1)
        x = x + torch.cat([pos[:, :1], select(pos[:, 1:], keep)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Regresser(nn.Module):
    def __init__(self, c: CaeConfig):
        super().__init__()
        dim, scale = c.decoder_embed_dim, c.decoder_layer_scale_init_value
        self.regressor_blocks = nn.ModuleList(
            RegresserBlock(dim, c.decoder_num_heads, c.mlp_ratio, r, scale, c.attention)
            for r in drop_path_rates(c.regressor_depth, c.drop_path)
        )
        self.norm = layer_norm(dim)

    def forward(self, queries, visible, pos_masked, pos_visible):
        pos_kv = torch.cat([pos_visible, pos_masked], dim=1)
        for block in self.regressor_blocks:
            queries = block(queries, torch.cat([visible, queries], dim=1), pos_masked, pos_kv)
        return self.norm(queries)


class Decoder(nn.Module):
    def __init__(self, c: CaeConfig):
        super().__init__()
        dim, scale = c.decoder_embed_dim, c.decoder_layer_scale_init_value
        self.decoder_blocks = nn.ModuleList(
            Block(dim, c.decoder_num_heads, c.mlp_ratio, r, scale, c.attention)
            for r in drop_path_rates(c.decoder_depth, c.drop_path)
        )
        self.norm = layer_norm(dim)
        self.head = nn.Linear(dim, c.decoder_num_classes)

    def forward(self, x: torch.Tensor, pos: torch.Tensor) -> torch.Tensor:
        x = x + pos
        for block in self.decoder_blocks:
            x = block(x)
        return self.head(self.norm(x))


class Cae(nn.Module):
    """Context AutoEncoder. The alignment encoder is the encoder itself, run without gradient."""

    def __init__(self, c: CaeConfig):
        super().__init__()
        dim = c.decoder_embed_dim
        self.encoder = Encoder(c)
        projected = dim != c.embed_dim
        self.encoder_to_regresser = nn.Linear(c.embed_dim, dim) if projected else None
        self.encoder_to_regresser_norm = layer_norm(dim) if projected else None
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer("rd_pos_embed", sincos_table(c.img_size // c.patch_size, dim))
        self.regresser = Regresser(c)
        self.decoder = Decoder(c)
        self.reset()

    def reset(self) -> None:
        """Xavier-uniform Linears with zero biases; convolution and tokens truncated normal cut at one sigma."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        proj = self.encoder.patch_embed.proj
        nn.init.zeros_(proj.bias)
        for p in (proj.weight, self.encoder.cls_token, self.mask_token):
            nn.init.trunc_normal_(p, std=0.02, a=-0.02, b=0.02)

    def project(self, latents: torch.Tensor) -> torch.Tensor:
        if self.encoder_to_regresser is None:
            return latents
        return self.encoder_to_regresser_norm(self.encoder_to_regresser(latents))

    def forward(self, images: torch.Tensor, masked: torch.Tensor, visible: torch.Tensor | None = None):
        """images [B,3,H,W], masked [B,N] bool with M ones a row; or masked [B,M] and visible [B,N-M], as in `select`.

        Returns logits [B*M, vocabulary], latent_predict [B,M,D], latent_target [B,M,D].
        """
        seen = ~masked if visible is None else visible
        latents = self.project(self.encoder(images, seen))[:, 1:]
        with torch.no_grad():
            latent_target = self.project(self.encoder(images, masked)[:, 1:])
        pos = self.rd_pos_embed[:, 1:].expand(len(images), -1, -1)
        pos_masked, pos_visible = select(pos, masked), select(pos, seen)
        queries = self.mask_token.expand(len(images), pos_masked.shape[1], -1)
        latent_predict = self.regresser(queries, latents, pos_masked, pos_visible)
        logits = self.decoder(latent_predict, pos_masked)
        return logits.flatten(0, 1), latent_predict, latent_target


def cae_losses(logits, latent_predict, latent_target, labels, align_loss_weight: float):
    """(cross-entropy, align_loss_weight * MSE), both means in float32; their sum is what is minimised."""
    main = F.cross_entropy(logits.float(), labels)
    return main, align_loss_weight * F.mse_loss(latent_predict.float(), latent_target.float().detach())


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """No decay for 1-D parameters and names ending in `.bias`; decay for all else, `cls_token` and
    `mask_token` [1,1,C] included. Frozen parameters are in neither group."""
    decay, plain = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (plain if p.ndim == 1 or name.endswith(".bias") else decay).append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def adamw(model: nn.Module, lr: float, weight_decay: float, betas=(0.9, 0.999), eps: float = 1e-8):
    """torch.optim.AdamW as it comes (its own choice between loop and foreach)."""
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=lr, betas=tuple(betas), eps=eps)
