"""The official blocks and the models that are little more than these, written down plainly from their description.

What the benchmarks measure ours against: attention by explicit matrices, every token through the last block, PyTorch's
own layers (invictus717/MetaTransformer @ b08a2be). Nothing of ours is imported; weights have the official names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def linear(weights: Weights, name: str, inputs: Tensor) -> Tensor:
    return F.linear(inputs, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights: Weights, name: str, inputs: Tensor, eps: float) -> Tensor:
    return F.layer_norm(inputs, inputs.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, h, N, d) to (B, h, N, d)."""
    return ((query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5).softmax(-1) @ value


def block(weights: Weights, name: str, tokens: Tensor, heads: int, eps: float) -> Tensor:
    batch, count, dims = tokens.shape
    bias = weights.get(f"{name}attn.qkv.bias")
    if f"{name}attn.q_bias" in weights:  # the video model's
        value_bias = weights[f"{name}attn.v_bias"]
        bias = torch.cat((weights[f"{name}attn.q_bias"], torch.zeros_like(value_bias), value_bias))
    qkv = F.linear(norm(weights, f"{name}norm1", tokens, eps), weights[f"{name}attn.qkv.weight"], bias)
    parts = qkv.reshape(batch, count, 3, heads, dims // heads).permute(2, 0, 3, 1, 4)
    mixed = attend(*parts.unbind(0)).transpose(1, 2).reshape(batch, count, dims)
    tokens = tokens + linear(weights, f"{name}attn.proj", mixed)
    hidden = F.gelu(linear(weights, f"{name}mlp.fc1", norm(weights, f"{name}norm2", tokens, eps)))
    return tokens + linear(weights, f"{name}mlp.fc2", hidden)


def encoder(
    weights: Weights, prefix: str, tokens: Tensor, heads: int, eps: float = 1e-5, position: Tensor | None = None
) -> Tensor:
    """All blocks under ``<prefix><number>.``; a position is added before each."""
    number = 0
    while f"{prefix}{number}.norm1.weight" in weights:
        if position is not None:
            tokens = tokens + position
        tokens = block(weights, f"{prefix}{number}.", tokens, heads, eps)
        number += 1
    return tokens


def bare(weights: Weights, tokens: Tensor, heads: int) -> Tensor:
    """The encoder alone."""
    return encoder(weights, "", tokens, heads)


def one_token(weights: Weights, tokens: Tensor, heads: int) -> Tensor:
    """The encoder's first token."""
    return bare(weights, tokens, heads)[:, :1]


def patches(weights: Weights, name: str, values: Tensor, stride: int | tuple[int, ...]) -> Tensor:
    kernel = weights[f"{name}.weight"]
    convolution = F.conv2d if kernel.ndim == 4 else F.conv3d
    return convolution(values, kernel, weights[f"{name}.bias"], stride).flatten(2).transpose(1, 2)


def behind_class_token(token: Tensor, tokens: Tensor) -> Tensor:
    return torch.cat((token.expand(len(tokens), -1, -1), tokens), 1)


def picture(weights: Weights, pictures: Tensor, heads: int) -> Tensor:
    """Logits of pictures: the X-ray model."""
    tokens = patches(weights, "patch_embed.proj", pictures, weights["patch_embed.proj.weight"].shape[-1])
    tokens = behind_class_token(weights["cls_token"], tokens) + weights["pos_embed"]
    tokens = norm(weights, "norm", encoder(weights, "blocks.", tokens, heads), 1e-6)
    return linear(weights, "head", tokens[:, 0])


def video(weights: Weights, clips: Tensor, heads: int) -> Tensor:
    """Logits of clips (B, 3, T, H, W)."""
    kernel = weights["patch_embed.proj.weight"]
    tokens = patches(weights, "patch_embed.proj", clips, tuple(kernel.shape[2:]))
    count, dims = tokens.shape[1:]
    columns = torch.arange(dims, dtype=torch.float64)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / 10000 ** (2 * (columns // 2) / dims)
    table = torch.where(columns % 2 == 0, angles.sin(), angles.cos()).float()
    pooled = encoder(weights, "blocks.", tokens + table, heads, 1e-6).mean(1)
    return linear(weights, "head", norm(weights, "fc_norm", pooled, 1e-6))


def audio(weights: Weights, spectrograms: Tensor, heads: int) -> Tensor:
    """Logits of spectrograms (B, frames, bins): the mean of tokens 0 and 1."""
    tokens = patches(weights, "v.patch_embed.proj", spectrograms.unsqueeze(1).transpose(2, 3), 10)
    tokens = encoder(weights, "v.blocks.", tokens + weights["v.pos_embed"], heads, 1e-6)
    tokens = norm(weights, "v.norm", tokens, 1e-6)
    return linear(weights, "mlp_head.1", norm(weights, "mlp_head.0", (tokens[:, 0] + tokens[:, 1]) / 2, 1e-5))


def hyperspectral(weights: Weights, bands: Tensor, heads: int) -> Tensor:
    """Logits of pixels (B, bands, values)."""
    tokens = behind_class_token(weights["cls_token"], linear(weights, "patch_to_embedding", bands))
    tokens = encoder(weights, "transformer.", tokens + weights["pos_embedding"], heads)
    return linear(weights, "mlp_head.1", norm(weights, "mlp_head.0", tokens[:, 0], 1e-5))


def tabular(weights: Weights, rows: dict[str, Tensor], heads: int) -> Tensor:
    """The logit of rows: ``codes`` and ``values``."""
    table = weights["deeptabular.0.cat_and_cont_embed.cat_embed.embed.weight"]
    tokens = encoder(weights, "deeptabular.0.encoder.", F.embedding(rows["codes"], table), heads)
    return linear(weights, "deeptabular.1", torch.cat((tokens.flatten(1), rows["values"]), 1))
