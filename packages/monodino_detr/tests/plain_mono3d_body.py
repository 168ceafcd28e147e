"""The frozen body and the fusion block as they are described, with our weights: what the benchmark compares ours with.

As officially without xformers, attention weights are stored; the depth head computes every pixel of the square input,
and enlarges maps before their 1 x 1 convolutions (JihyeokKim/MonoDINO-DETR @ 65004cc: the ViT of DINOv2 and the DPT
head of Depth Anything V2, as arXiv 2304.07193, 2103.13413 and 2406.09414 describe them).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 14


def plain_input(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images, padded with zeros to whole patches and resized."""
    height, width = images.shape[-2:]
    images = F.pad(images, (0, -width % PATCH, 0, 0))
    images = F.pad(images, (0, 0, 0, -height % PATCH))
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


def plain_vit(vit: nn.Module, images: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
    """The patches' tokens of four blocks of a ``DINOv2ViT`` on the grid of its position embedding."""
    grid = (images.shape[-2] // PATCH, images.shape[-1] // PATCH)
    x = vit.patch_embed.proj(images).flatten(2).transpose(1, 2)
    x = torch.cat([vit.cls_token.expand(len(x), -1, -1), x], 1) + vit.pos_embed
    found = []
    for number, block in enumerate(vit.blocks):
        x = x + plain_attention(block.attn, block.norm1(x)) * block.ls1.gamma
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x)))) * block.ls2.gamma
        if number in vit.out_indices:
            found.append(x)
    normed = [vit.norm(one) for one in found]
    return [one[:, 1:] for one in normed], grid


def plain_attention(attn: nn.Module, x: Tensor) -> Tensor:
    """Self-attention whose weights are stored, ``(B, heads, N, N)``."""
    batch, count, channels = x.shape
    parts = attn.qkv(x).reshape(batch, count, 3, attn.heads, channels // attn.heads).permute(2, 0, 3, 1, 4)
    query, key, value = parts[0] * (channels // attn.heads) ** -0.5, parts[1], parts[2]
    weights = (query @ key.transpose(-2, -1)).softmax(-1)
    return attn.proj((weights @ value).transpose(1, 2).reshape(batch, count, channels))


def plain_depth(head: nn.Module, tokens: list[Tensor], grid: tuple[int, int]) -> Tensor:
    """The relative inverse depth of every pixel by a ``DPTDepthHead``, ``(B, 1, 14 h, 14 w)``."""
    maps = []
    for number, (one, project, resize) in enumerate(zip(tokens, head.projects, head.resize_layers, strict=True), 1):
        one = one.permute(0, 2, 1).reshape(len(one), one.shape[-1], *grid)
        maps.append(head.scratch[f"layer{number}_rn"](resize(project(one))))
    path = None
    for number in (4, 3, 2, 1):
        fusion, own = head.scratch[f"refinenet{number}"], maps[number - 1]
        x = own if path is None else path + plain_unit(fusion.resConfUnit1, own)
        x = plain_unit(fusion.resConfUnit2, x)
        size = maps[number - 2].shape[-2:] if number > 1 else tuple(2 * side for side in x.shape[-2:])
        path = fusion.out_conv(F.interpolate(x, size, mode="bilinear", align_corners=True))
    x = head.scratch["output_conv1"](path)
    x = F.interpolate(x, tuple(PATCH * side for side in grid), mode="bilinear", align_corners=True)
    return F.relu(head.scratch["output_conv2"](x))


def plain_unit(unit: nn.Module, x: Tensor) -> Tensor:
    """A residual unit."""
    return unit.conv2(F.relu(unit.conv1(F.relu(x)))) + x


def plain_fusion(neck: nn.Module, tokens: list[Tensor], grid: tuple[int, int]) -> list[Tensor]:
    """The maps of a ``HierarchicalFeatureFusion``, from the last three token maps."""
    maps = [one.permute(0, 2, 1).reshape(len(one), one.shape[-1], *grid) for one in tokens[-3:]]
    return [project(one) for project, one in zip(neck.input_proj, maps, strict=True)]
