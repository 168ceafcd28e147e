"""The attention module of Deformable DETR (arXiv 2010.04159, section 4.1) on :func:`mmrepro.ops.ms_deform_attn`.

A subclass of mmcv's module, so that parameters, initialisation and what mmdet does by type stay the same; mmcv itself
computes it on the CPU by one ``grid_sample`` per level and a stack of all samples.
"""

from __future__ import annotations

import torch
from mmcv.ops import MultiScaleDeformableAttention as MmcvMultiScaleDeformableAttention
from torch import Tensor

from mmrepro.ops.dispatch import ms_deform_attn


class MultiScaleDeformableAttention(MmcvMultiScaleDeformableAttention):
    """Deformable attention with mmcv's arguments, parameter names and results, faster.

    Args:
        embed_dims, num_heads, num_levels, num_points, dropout, batch_first, value_proj_ratio: as in mmcv;
            ``im2col_step`` splits no batch here.
    """

    def project(self, value: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """Return the values that are sampled, ``(B, S, C)`` to ``(B, S, h, d)``: zero where padding is.

        Args:
            value: all levels' features, ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, True where a value is padding.
        """
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        return value.unflatten(-1, (self.num_heads, -1))

    def attend(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the projected attention alone, without identity and dropout.

        Args:
            query: ``(B, N, C)``, positions added.
            value: all levels' features, ``(B, S, C)``.
            reference_points: points ``(x, y)``, ``(B, N, L, 2)``, whose offsets count in pixels of the level, or boxes
                ``(cx, cy, w, h)``, ``(B, N, L, 4)``, whose offsets count in halves of the box, divided by the number
                of points; in [0, 1]. A first or third size of 1 is broadcast.
            spatial_shapes: ``(L, 2)`` as (H, W).
            level_start_index: ``(L,)``.
            key_padding_mask: ``(B, S)``, True where a value is padding; its projection is set to zero.

        Returns:
            ``(B, N, C)``.

        Raises:
            ValueError: reference points have neither 2 nor 4 coordinates, or shapes do not fit together.
        """
        projected = self.project(value, key_padding_mask)
        return self.attend_projected(query, projected, reference_points, spatial_shapes, level_start_index)

    def attend_projected(
        self,
        query: Tensor,
        projected: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
    ) -> Tensor:
        """Return what :meth:`attend` does, from what :meth:`project` returned: several calls may share that.

        Args:
            projected: ``(B, S, h, d)``.
            query, reference_points, spatial_shapes, level_start_index: see :meth:`attend`.
        """
        locations, weights = self.samples(query, reference_points, spatial_shapes)
        sampled = ms_deform_attn(projected, spatial_shapes, level_start_index, locations, weights)
        return self.output_proj(sampled)

    def samples(self, query: Tensor, reference_points: Tensor, spatial_shapes: Tensor) -> tuple[Tensor, Tensor]:
        """Return where to sample, ``(B, N, h, L, P, 2)`` as (x, y), and the weights, ``(B, N, h, L, P)``.

        Args:
            query, reference_points, spatial_shapes: see :meth:`attend`.
        """
        batch, queries, _ = query.shape
        grid = batch, queries, self.num_heads, self.num_levels, self.num_points
        offsets = self.sampling_offsets(query).view(*grid, 2)
        logits = self.attention_weights(query).view(*grid[:3], -1)
        # under autocast CUDA's softmax is in float32 by itself, the CPU's is not
        weights = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32)).view(grid)
        return self._locations(reference_points, offsets, spatial_shapes), weights

    def _locations(self, reference_points: Tensor, offsets: Tensor, spatial_shapes: Tensor) -> Tensor:
        """Return where to sample, ``(B, N, h, L, P, 2)``."""
        reference = reference_points[:, :, None, :, None]
        coordinates = reference.size(-1)
        if reference_points.dim() != 4 or reference_points.size(2) not in (1, self.num_levels):
            raise ValueError(
                f"reference_points must be (B, N, L, 2 or 4) with L = {self.num_levels} levels, it is "
                f"{tuple(reference_points.shape)}"
            )
        if coordinates == 2:
            return reference + offsets / spatial_shapes.flip(-1)[:, None]
        if coordinates == 4:
            return reference[..., :2] + offsets / self.num_points * reference[..., 2:] * 0.5
        raise ValueError(f"reference points have 2 or 4 coordinates, these have {coordinates}")

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        level_start_index: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor:
        """Return attention plus ``identity``, with mmcv's arguments and defaults; ``key`` and others are not read.

        Query, value, identity and the result are ``(B, N, C)`` with ``batch_first``, else ``(N, B, C)``.
        """
        value = query if value is None else value
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        if not self.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        output = self.attend(query, value, reference_points, spatial_shapes, level_start_index, key_padding_mask)
        if not self.batch_first:
            output = output.transpose(0, 1)
        return self.dropout(output) + identity
