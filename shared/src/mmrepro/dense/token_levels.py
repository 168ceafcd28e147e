"""The three maps of the convolutional branch as one sequence of tokens: strides 8, 16 and 32, each row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KEPT_SIZES = 64  # tables of geometry that stay in memory, each of 8 bytes for each token of its three levels
_kept: dict[tuple, TokenLevels] = {}


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where tokens lie, for the deformable attention.

    Attributes:
        spatial_shapes: (height, width) of each level, integers (L, 2).
        level_start_index: each level's first token, integers (L,).
        reference_points: each token's centre as (x, y) in [0, 1], (1, N, 1, 2), the same for all levels.
    """

    spatial_shapes: Tensor
    level_start_index: Tensor
    reference_points: Tensor


@dataclass(frozen=True, eq=False)
class TokenLevels(Geometry):
    """Where the levels of a token sequence lie, N = 4HW + HW + HW/4 tokens.

    Attributes:
        sizes: (height, width) of each level in tokens.
        at_16: the middle level alone, where the ViT's tokens lie.
    """

    sizes: tuple[tuple[int, int], ...]
    at_16: Geometry

    def split(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Return each level's part: (B, N, C) to (B, N_l, C)."""
        return tokens.split([height * width for height, width in self.sizes], 1)

    def maps(self, tokens: Tensor) -> list[Tensor]:
        """Return each level's map, channels last in memory: (B, N, C) to (B, C, H_l, W_l)."""
        parts = self.split(tokens)
        return [to_map(part, *size) for part, size in zip(parts, self.sizes, strict=True)]

    def add_to_level_16(self, tokens: Tensor, added: Tensor) -> Tensor:
        """Return tokens (B, N, C) with (B, HW, C) added to the middle level."""
        fine, middle, coarse = self.split(tokens)
        return torch.cat((fine, middle + added, coarse), 1)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return tokens (B, H*W, C) as a map (B, C, H, W), channels last in memory, by a view."""
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def to_tokens(maps: Tensor) -> Tensor:
    """Return a map (B, C, H, W) as tokens (B, H*W, C), by a view where channels are last in memory."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def join(maps: Sequence[Tensor]) -> Tensor:
    """Return the levels' maps (B, C, H_l, W_l) as one sequence (B, N, C)."""
    return torch.cat([to_tokens(one) for one in maps], 1)


def token_levels(height: int, width: int, like: Tensor) -> TokenLevels:
    """Return the levels around a map of H x W tokens at stride 16; H and W are even.

    Tables are made once for each size and device: then one forward shares them with the next, and the operator, which
    reads them back from an accelerator, does so once.

    Args:
        height, width: H and W.
        like: a tensor on the device; references are in double precision where it is, else in single.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    # What a recorder sees belongs to its program, and a fake tensor to its mode.
    if torch.jit.is_tracing() or torch.compiler.is_compiling() or type(like) is not Tensor:
        return _build(height, width, like.device, dtype)
    key = height, width, like.device, dtype
    if key not in _kept:
        with torch.inference_mode(False):  # the operator cannot tell whether an inference tensor was written to
            levels = _build(height, width, like.device, dtype)
        if type(levels.spatial_shapes) is not Tensor:
            return levels
        if len(_kept) >= KEPT_SIZES:
            del _kept[next(iter(_kept))]
        _kept[key] = levels
    return _kept[key]


def _build(height: int, width: int, device: torch.device, dtype: torch.dtype) -> TokenLevels:
    sizes = ((2 * height, 2 * width), (height, width), (height // 2, width // 2))
    shapes = torch.tensor(sizes, device=device)
    starts = torch.tensor((0, 4 * height * width, 5 * height * width), device=device)
    references = []
    for rows, columns in sizes:
        y = (torch.arange(rows, dtype=dtype, device=device) + 0.5) / rows
        x = (torch.arange(columns, dtype=dtype, device=device) + 0.5) / columns
        grid = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1)
        references.append(grid.flatten(0, 1))
    at_16 = Geometry(shapes[1:2].clone(), torch.zeros_like(starts[:1]), references[1][None, :, None])
    return TokenLevels(shapes, starts, torch.cat(references)[None, :, None], sizes, at_16)
