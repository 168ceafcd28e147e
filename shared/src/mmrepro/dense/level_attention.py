"""Deformable attention whose samples are located and weighted by operations that the CPU does fast.

On the CPU PyTorch is slow where the innermost axis is short and not shared by both sides: adding references ``(x, y)``
to offsets and the softmax over a head's few samples cost as much as the sampling itself. The numbers stay the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmrepro.ops import MultiScaleDeformableAttention, ms_deform_attn


class LevelDeformableAttention(MultiScaleDeformableAttention):
    """The core's attention for queries that have the same reference point in all levels."""

    def attend_projected(
        self,
        query: Tensor,
        projected: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
    ) -> Tensor:
        """Return the projected attention alone: see the core's module.

        Args:
            query, projected, spatial_shapes, level_start_index: as there.
            reference_points: points ``(x, y)`` in [0, 1], the same in all levels and images, ``(1, N, 1, 2)``.
        """
        if torch.jit.is_tracing() or torch.compiler.is_compiling() or query.device.type != "cpu":
            return super().attend_projected(query, projected, reference_points, spatial_shapes, level_start_index)
        grid = self.num_heads, self.num_levels, self.num_points
        locations = locate(self.sampling_offsets(query), reference_points, spatial_shapes, grid)
        weights = short_softmax(self.attention_weights(query), self.num_heads).unflatten(-1, grid[1:])
        return self.output_proj(ms_deform_attn(projected, spatial_shapes, level_start_index, locations, weights))


def locate(offsets: Tensor, reference_points: Tensor, spatial_shapes: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Return reference points plus offsets in pixels of each level.

    Args:
        offsets: (B, N, h*L*P*2).
        reference_points: (1, N, 1, 2) as (x, y), in single or double precision.
        spatial_shapes: (L, 2) as (H, W).
        grid: heads h, levels L and points P.

    Returns:
        (B, N, h, L, P, 2).
    """
    sides = spatial_shapes.flip(-1).to(reference_points.dtype)[:, None].expand(*grid, 2).flatten()
    pairs = torch.view_as_complex((offsets / sides).unflatten(-1, (-1, 2)))  # a point is one number then
    return torch.view_as_real(pairs + torch.view_as_complex(reference_points)).unflatten(2, grid)


def short_softmax(logits: Tensor, heads: int) -> Tensor:
    """Return the softmax of each head's samples: (B, N, h*k) to (B, N, h, k), computed along an axis that is not last.

    It is in single precision where the logits are in half, as the core's.

    Args:
        logits: all heads' samples.
        heads: h.
    """
    columns = logits.flatten(0, 1).t().contiguous()  # (h*k, B*N)
    exact = torch.promote_types(logits.dtype, torch.float32)
    weights = columns.unflatten(0, (heads, -1)).softmax(1, dtype=exact).flatten(0, 1)
    return weights.t().contiguous().view(*logits.shape[:2], heads, -1)
