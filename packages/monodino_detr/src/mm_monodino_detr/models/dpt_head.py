"""The DPT head of Depth Anything V2 (arXiv 2406.09414, 2103.13413): four token maps to relative inverse depth, frozen.

Names of weights are those of the public files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm_monodino_detr.models.dinov2_vit import PATCH, Grid, arch_settings
from mm_monodino_detr.models.frozen import compute_as, freeze

ARCHS: dict[str, dict[str, Any]] = {
    "small": dict(embed_dims=384, features=64, out_channels=(48, 96, 192, 384)),
    "base": dict(embed_dims=768, features=128, out_channels=(96, 192, 384, 768)),
    "large": dict(embed_dims=1024, features=256, out_channels=(256, 512, 1024, 1024)),
}
LEVELS = 4
HIDDEN = 32
FUSED = 8  # pixels of the last fused map for a patch, on a side

Lines = tuple[Tensor, Tensor]


class ResidualConvUnit(nn.Module):
    """Two 3 x 3 convolutions, each after a ReLU, around which the input is added.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        return self.conv2(self.conv1(x.relu()).relu()) + x


class FusionBlock(nn.Module):
    """Add a finer map to a coarser one and refine the sum; its enlargement is the caller's.

    The official block enlarges before its 1 x 1 convolution. A bilinear enlargement commutes with it, and costs a
    quarter of the multiplications behind it.

    Args:
        channels: of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(channels, channels, 1)
        self.resConfUnit1 = ResidualConvUnit(channels)
        self.resConfUnit2 = ResidualConvUnit(channels)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        """Fuse ``(B, C, h, w)`` with a map of the same shape, where there is one."""
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        return self.out_conv(self.resConfUnit2(x))


@MODELS.register_module()
class DPTDepthHead(BaseModule):
    """Relative inverse depth from four token maps of a ViT, as Depth Anything V2 predicts it.

    Args:
        arch: a name of ``ARCHS``, or a dict of ``embed_dims`` (channels of the tokens), ``features`` (of the fused
            maps) and ``out_channels`` (of the four maps, from the first tokens to the last).
        frozen: never train: no gradient is kept, and evaluation mode stays on. As published.
        bf16: compute in bfloat16, whatever the rest of the model does; depth leaves in the tokens' type.
        init_cfg: ``dict(type='PretrainedDepthAnything', checkpoint=...)`` loads a public file.

    Raises:
        ValueError: the arch is unknown, lacks a setting or does not have four maps.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "base",
        frozen: bool = True,
        bf16: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        settings = arch_settings(arch, ARCHS)
        embed_dims, features, widths = (settings[name] for name in ("embed_dims", "features", "out_channels"))
        if len(widths) != LEVELS:
            raise ValueError(f"out_channels={tuple(widths)} needs one entry for each of {LEVELS} maps")
        self.in_channels, self.frozen, self.bf16 = embed_dims, frozen, bf16
        self.projects = nn.ModuleList(nn.Conv2d(embed_dims, width, 1) for width in widths)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(widths[0], widths[0], 4, 4),
                nn.ConvTranspose2d(widths[1], widths[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(widths[3], widths[3], 3, 2, 1),
            )
        )
        parts: dict[str, nn.Module] = {}
        for number, width in enumerate(widths, 1):
            parts[f"layer{number}_rn"] = nn.Conv2d(width, features, 3, padding=1, bias=False)
            parts[f"refinenet{number}"] = FusionBlock(features)
        parts["output_conv1"] = nn.Conv2d(features, features // 2, 3, padding=1)
        parts["output_conv2"] = nn.Sequential(
            nn.Conv2d(features // 2, HIDDEN, 3, padding=1), nn.ReLU(), nn.Conv2d(HIDDEN, 1, 1), nn.ReLU()
        )
        self.scratch = nn.ModuleDict(parts)
        # The coarsest map meets no coarser one: public files have this unit, and nothing reads it.
        parts["refinenet4"].resConfUnit1.requires_grad_(False)
        if frozen:
            freeze(self)

    def train(self, mode: bool = True) -> DPTDepthHead:
        """Set the mode; a frozen head stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(self, tokens: Sequence[Tensor], grid: Grid) -> Tensor:
        """Return depth for every pixel.

        Args:
            tokens: four maps ``(B, N, C)`` on one grid, the shallowest first.
            grid: (h, w) with N = h * w.

        Returns:
            Relative inverse depth ``(B, 1, 14*h, 14*w)``, without unit, >= 0.

        Raises:
            ValueError: the maps are not four, or do not lie on the grid.
        """
        with compute_as(self, tokens[0]):
            fused = self._fuse(tokens, grid)
            x = _enlarge(fused, tuple(FUSED * side for side in grid))
            x = _enlarge(self.scratch["output_conv1"](x), tuple(PATCH * side for side in grid))
            depth = self.scratch["output_conv2"](x)
        return depth.to(tokens[0].dtype)

    def sampled(self, tokens: Sequence[Tensor], grid: Grid) -> Tensor:
        """Return what a bilinear resize of :meth:`forward`'s depth to the grid gives, computed only where it reads.

        It reads the four pixels in the middle of each patch, 14*i + 6 and 14*i + 7 on both axes, and means them. The
        last convolution needs 4 of a patch's 14 rows for them, and the one before 4 of 8. None lies at the border.

        Args:
            tokens: as in :meth:`forward`.
            grid: as in :meth:`forward`.

        Returns:
            ``(B, 1, h, w)``, without unit, >= 0.

        Raises:
            ValueError: as :meth:`forward`.
        """
        with compute_as(self, tokens[0]):
            fused = self._fuse(tokens, grid)
            axes = [_SparseAxis(side, fused) for side in grid]
            x = _unpadded(self.scratch["output_conv1"], _lines(fused, [axis.doubled for axis in axes]))
            first, *rest = self.scratch["output_conv2"]
            x = _unpadded(first, _lines(x, [axis.pixels for axis in axes]))
            for axis, dim in zip(axes, (2, 3), strict=True):
                x = x.index_select(dim, axis.read)
            for layer in rest:
                x = layer(x)
            depth = F.avg_pool2d(x, 2)
        return depth.to(tokens[0].dtype)

    def _fuse(self, tokens: Sequence[Tensor], grid: Grid) -> Tensor:
        """Return the last fused map ``(B, features, 4*h, 4*w)``, which the official block enlarges to twice that."""
        _check(tokens, grid)
        x = None
        for number in range(LEVELS, 0, -1):  # the coarsest first, so that only one fine map is kept at a time
            level = tokens[number - 1].unflatten(1, grid).permute(0, 3, 1, 2)
            level = self.resize_layers[number - 1](self.projects[number - 1](level))
            level = self.scratch[f"layer{number}_rn"](level)
            fusion = self.scratch[f"refinenet{number}"]
            x = fusion(level) if x is None else fusion(_enlarge(x, level.shape[-2:]), level)
        return x


class _SparseAxis:
    """Which lines of one axis :meth:`DPTDepthHead.sampled` needs, from the last fused map to the pixels.

    A cell is a patch. Its pixels 5 to 8 are read by the last 3 x 3 convolution; they lie between 4 neighbouring lines
    of the map of 8 lines a cell, for which the convolution before reads 6.

    Args:
        cells: of the axis.
        like: a map that is read.

    Attributes:
        doubled: 6 lines a cell of the doubled map, between lines of the fused map.
        pixels: 4 lines a cell of the enlarged map, between the 4 lines a cell of the convolution's.
        read: 2 lines a cell of the last convolution's.
    """

    def __init__(self, cells: int, like: Tensor) -> None:
        cell = torch.arange(cells, device=like.device)[:, None]
        four = torch.arange(4, device=like.device)
        exact = torch.promote_types(like.dtype, torch.float32)
        below, weight = _between(PATCH * cell + 5 + four, FUSED * cells, PATCH * cells, exact)
        first = below[:, :1]
        six = first - 1 + torch.arange(6, device=like.device)
        self.doubled = _between(six.flatten(), FUSED // 2 * cells, FUSED * cells, exact)
        self.pixels = (6 * cell + below - first).flatten(), weight.flatten()
        self.read = (4 * cell + four[:2]).flatten()


def _between(lines: Tensor, size: int, enlarged: int, dtype: torch.dtype) -> Lines:
    """Return the lower of the two lines between which lines of an enlarged map lie, and the upper one's weight.

    Computed in a dtype, for torch places them by a rounded scale.
    """
    scale = torch.tensor(size - 1, dtype=dtype, device=lines.device) / (enlarged - 1)
    place = lines * scale
    below = place.floor()
    return below.long(), place - below


def _lines(x: Tensor, axes: Sequence[Lines]) -> Tensor:
    """Read a map ``(B, C, h, w)`` between its lines, first along h, then along w."""
    x = x.permute(0, 2, 3, 1).contiguous()  # whole rows and pixels lie together: reading them is copying
    for dim, (below, weight) in enumerate(axes, 1):
        weight = weight.to(x.dtype).view([-1 if axis == dim else 1 for axis in range(4)])
        x = torch.lerp(x.index_select(dim, below), x.index_select(dim, below + 1), weight)
    return x.permute(0, 3, 1, 2)


def _unpadded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias)


def _enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def _check(tokens: Sequence[Tensor], grid: Grid) -> None:
    if len(tokens) != LEVELS:
        raise ValueError(f"{len(tokens)} token maps: the head fuses {LEVELS}. Fix: {LEVELS} out_indices of the ViT")
    for level in tokens:
        if level.shape[1] != grid[0] * grid[1]:
            raise ValueError(f"tokens {tuple(level.shape)} do not lie on a grid of {grid[0]} x {grid[1]}")
