"""Deformable attention that samples a memory before it projects the samples, where that is less work.

Sampling is linear, so the projection of values may come after it: 50 queries of 8 heads read 19,200 places, and the
memory of a 518 x 518 input has 28,749 tokens, each of which the official code projects in every layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmrepro.ops import MultiScaleDeformableAttention, ms_deform_attn


class SampleFirstAttention(MultiScaleDeformableAttention):
    """:class:`mmrepro.ops.MultiScaleDeformableAttention` with the same parameters, and results equal to rounding."""

    def attend(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the projected attention alone; see :meth:`MultiScaleDeformableAttention.attend`."""
        if key_padding_mask is not None or not self.samples_first(query.size(1), value.size(1)):
            return super().attend(
                query, value, reference_points, spatial_shapes, level_start_index, key_padding_mask=key_padding_mask
            )
        locations, weights = self.samples(query, reference_points, spatial_shapes)
        # A head of a query becomes a query of one head that reads all channels: (B, N, h, ...) -> (B, N h, 1, ...)
        sampled = ms_deform_attn(
            value[:, :, None],
            spatial_shapes,
            level_start_index,
            locations.flatten(1, 2)[:, :, None],
            weights.flatten(1, 2)[:, :, None],
        ).unflatten(1, (-1, self.num_heads))  # (B, N, h, C)
        matrix = self.value_proj.weight.unflatten(0, (self.num_heads, -1))  # (h, d, C)
        projected = torch.einsum("bnhc,hdc->bnhd", sampled, matrix)
        # Outside the maps there is no value, and so no bias of its projection either.
        inside = (weights * part_inside(locations, spatial_shapes)).sum((-2, -1))  # (B, N, h)
        bias = self.value_proj.bias.unflatten(0, (self.num_heads, -1))  # (h, d)
        return self.output_proj((projected + inside[..., None].to(projected.dtype) * bias).flatten(2))

    def samples_first(self, queries: int, tokens: int) -> bool:
        """Return whether to sample and then project takes fewer multiplications than to project all tokens."""
        taps = 4 * self.num_levels * self.num_points
        head_width = self.embed_dims // self.num_heads
        return queries * self.num_heads * (taps + head_width) < tokens * self.embed_dims


def part_inside(locations: Tensor, spatial_shapes: Tensor) -> Tensor:
    """Return the sum of the bilinear weights of those neighbours that lie in the map.

    Args:
        locations: (x, y) in [0, 1], ``(B, N, h, L, P, 2)``.
        spatial_shapes: (H, W) of each level, ``(L, 2)``.

    Returns:
        ``(B, N, h, L, P)``: 1 where all four neighbours exist, 0 from one pixel beyond the border on.
    """
    sizes = spatial_shapes.flip(-1)[:, None]  # (L, 1, 2)
    pixels = locations * sizes - 0.5
    return torch.minimum((pixels + 1).clamp(0, 1), (sizes - pixels).clamp(0, 1)).prod(-1)
