"""Names of backbone weights: those of the official detectors and of the ImageNet files, and ours.

Each function returns key rules for two prefixes. Ours are mmdet's (ResNet, Swin) and mmpretrain's (ConvNeXt) names;
FocalNet keeps its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mmrepro.checkpoint import Drop, Rename

STAGES = range(4)
TABLE, INDEX = "relative_position_bias_table", "relative_position_index"


@dataclass(frozen=True)
class WithBuffer(Rename):
    """One key under another name, beside which we hold a buffer that follows from it.

    Args:
        source, target: the official name and ours.
        buffer: the name of ours for the buffer.
        make: the buffer for the tensor.
    """

    buffer: str
    make: Callable[[Tensor], Tensor]

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The patterns of the official keys and of ours."""
        return (self.source,), (self.target, self.buffer)

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        return [*tensors, self.make(tensors[0])]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return tensors[:1]


@dataclass(frozen=True)
class MergedPatches(Rename):
    """One key whose last axis runs over the 2x2 patches that are merged.

    Official files concatenate four blocks of C channels: (row 0, column 0), (1, 0), (0, 1), (1, 1). mmdet unfolds: the
    channel comes first, and within it (0, 0), (0, 1), (1, 0), (1, 1).
    """

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        (tensor,) = tensors
        blocks = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
        return [blocks.transpose(-1, -2).flatten(-2)]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        (tensor,) = tensors
        blocks = tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)
        return [blocks[..., [0, 2, 1, 3], :].flatten(-2)]


@dataclass(frozen=True)
class LayerScale(Rename):
    """One key with two axes of size 1 after the channels, which we do not have."""

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        (tensor,) = tensors
        if tensor.dim() != 3 or tensor.shape[1:] != (1, 1):
            raise ValueError(f"{tuple(tensor.shape)} is not (C, 1, 1)")
        return [tensor.flatten()]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return [tensor[:, None, None] for tensor in tensors]


@cache
def _index_of(rows: int) -> Tensor:
    side = math.isqrt(rows)
    if side**2 != rows or side % 2 == 0:
        raise ValueError(f"{rows} rows are not those of a window: 169 for 7 x 7, 529 for 12 x 12")
    window = (side + 1) // 2
    with torch.device("cpu"):  # also where a model is being built on the meta device
        steps = torch.arange(window)
    along = steps[:, None] - steps + window - 1
    pairs = along[:, :, None, None] * side + along  # (row, row', column, column')
    return pairs.transpose(1, 2).reshape(window**2, window**2)


def relative_position_index(table: Tensor) -> Tensor:
    """Return the rows of a bias table for each pair of a window's positions: ``(window**2, window**2)``.

    Raises:
        ValueError: no window has a table of that many rows, ``(2 * window - 1)**2``.
    """
    return _index_of(table.shape[0]).to(table.device, copy=True)


def resnet_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of a ResNet: torchvision's names, which mmdet has too, and official ones.

    Official batch norms are frozen and count no batches; a file that has the counts anyway loses them.
    """
    stem, block = ("conv1", "bn1"), "layer{k}.{i}"
    norms = [stem[1], *(f"{block}.{name}" for name in ("bn1", "bn2", "bn3", "downsample.1"))]
    convs = [stem[0], *(f"{block}.{name}" for name in ("conv1", "conv2", "conv3", "downsample.0"))]
    rules: list[Rename | Drop] = [
        Drop(f"{theirs}{norm}.num_batches_tracked", "a frozen norm counts none") for norm in norms
    ]
    rules += [Rename(f"{theirs}{conv}.weight", f"{ours}{conv}.weight") for conv in convs]
    for norm in norms:
        rules += [
            Rename(f"{theirs}{norm}.{name}", f"{ours}{norm}.{name}") for name in ("weight", "bias", "running_var")
        ]
        rules.append(
            WithBuffer(
                f"{theirs}{norm}.running_mean",
                f"{ours}{norm}.running_mean",
                f"{ours}{norm}.num_batches_tracked",
                lambda mean: torch.zeros((), dtype=torch.long, device=mean.device),
            )
        )
    return rules


def swin_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of a Swin Transformer in torchvision's layout, which the official detector has."""
    rules: list[Rename | Drop] = [
        Rename(f"{theirs}features.0.0.*", f"{ours}patch_embed.projection.*"),
        Rename(f"{theirs}features.0.2.*", f"{ours}patch_embed.norm.*"),
        Drop(f"{theirs}features.{{k}}.{{i}}.attn.{INDEX}", "follows from the window", recreate=_flat_indices),
    ]
    for stage in STAGES:
        official = f"{theirs}features.{2 * stage + 1}.{{i}}"
        rules += _swin_block(official, f"{ours}stages.{stage}.blocks.{{i}}", ("mlp.0", "mlp.3"))
        if stage < STAGES[-1]:
            rules += _merging(f"{theirs}features.{2 * stage + 2}", f"{ours}stages.{stage}.downsample")
    return rules


def microsoft_swin_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of a Swin Transformer in microsoft/Swin-Transformer's layout, as the 22k files have it."""
    block = f"{theirs}layers.{{k}}.blocks.{{i}}"
    return [
        Rename(f"{theirs}patch_embed.proj.*", f"{ours}patch_embed.projection.*"),
        Rename(f"{theirs}patch_embed.norm.*", f"{ours}patch_embed.norm.*"),
        Drop(f"{block}.attn_mask", "depends on the picture's size"),
        Drop(f"{block}.attn.{INDEX}", "follows from the window"),
        *_swin_block(block, f"{ours}stages.{{k}}.blocks.{{i}}", ("mlp.fc1", "mlp.fc2")),
        *_merging(f"{theirs}layers.{{k}}.downsample", f"{ours}stages.{{k}}.downsample"),
    ]


def focalnet_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of a FocalNet; the norms of its outputs, which detectors have alone, are not among them."""
    block = "layers.{k}.blocks.{i}"
    parts = ("modulation.f", "modulation.h", "modulation.proj", "norm1", "norm2", "mlp.fc1", "mlp.fc2")
    names = [
        *("patch_embed.proj.*", "patch_embed.norm.*", "layers.{k}.downsample.proj.*", "layers.{k}.downsample.norm.*"),
        *(f"{block}.{part}.*" for part in parts),
        *(f"{block}.gamma_{branch}" for branch in (1, 2)),
        f"{block}.modulation.focal_layers.{{j}}.0.weight",
    ]
    return [Rename(f"{theirs}{name}", f"{ours}{name}") for name in names]


def convnext_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of a ConvNeXt in torchvision's layout, which the official detector has."""
    parts = {"block.0": "depthwise_conv", "block.2": "norm", "block.3": "pointwise_conv1", "block.5": "pointwise_conv2"}
    rules: list[Rename | Drop] = []
    for stage in STAGES:
        downsample, blocks = f"{theirs}features.{2 * stage}.{{i}}.*", f"{theirs}features.{2 * stage + 1}.{{i}}"
        our_block = f"{ours}stages.{stage}.{{i}}"
        rules += [
            Rename(downsample, f"{ours}downsample_layers.{stage}.{{i}}.*"),
            LayerScale(f"{blocks}.layer_scale", f"{our_block}.gamma"),
            *(Rename(f"{blocks}.{part}.*", f"{our_block}.{name}.*") for part, name in parts.items()),
        ]
    return rules


def _swin_block(theirs: str, ours: str, mlp: tuple[str, str]) -> list[Rename | Drop]:
    return [
        *(Rename(f"{theirs}.{norm}.*", f"{ours}.{norm}.*") for norm in ("norm1", "norm2")),
        *(Rename(f"{theirs}.attn.{name}.*", f"{ours}.attn.w_msa.{name}.*") for name in ("qkv", "proj")),
        *(
            Rename(f"{theirs}.{layer}.*", f"{ours}.ffn.layers.{place}.*")
            for layer, place in zip(mlp, ("0.0", "1"), strict=True)
        ),
        WithBuffer(
            f"{theirs}.attn.{TABLE}",
            f"{ours}.attn.w_msa.{TABLE}",
            f"{ours}.attn.w_msa.{INDEX}",
            relative_position_index,
        ),
    ]


def _merging(theirs: str, ours: str) -> list[Rename | Drop]:
    names = ("norm.weight", "norm.bias", "reduction.weight")
    return [MergedPatches(f"{theirs}.{name}", f"{ours}.{name}") for name in names]


def _flat_indices(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the official index of every bias table of an official state dict."""
    tables = {key: table for key, table in state.items() if key.endswith(TABLE)}
    return {key.replace(TABLE, INDEX): relative_position_index(table).flatten() for key, table in tables.items()}
