"""The layers of Relation-DETR's encoder and decoder: mmdet's Deformable DETR layers, with leaner attention in them.

Parameter names and results are mmdet's. Self-attention returns no attention weights, which mmcv's module averages over
heads in every call, and deformable attention takes values that another pass over the same layer has projected.
"""

from __future__ import annotations

from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import DeformableDetrTransformerDecoderLayer, DeformableDetrTransformerEncoderLayer
from torch import Tensor

from mmrepro.ops import MultiScaleDeformableAttention


class BiasedSelfAttention(MultiheadAttention):
    """Self-attention with mmcv's parameters whose logits may have a bias per head."""

    def forward(
        self, query: Tensor, query_pos: Tensor | None = None, attn_mask: Tensor | None = None, **kwargs: object
    ) -> Tensor:
        """Return the attention of queries to queries plus the queries.

        Args:
            query: ``(B, N, C)``.
            query_pos: added to queries and keys, not to values, ``(B, N, C)``.
            attn_mask: booleans, True where attention is blocked, ``(N, N)``, or what is added to the scaled logits,
                ``(B*heads, N, N)`` with the head as the faster index.
            kwargs: not read: what mmdet's layer passes for the sake of other attentions.
        """
        positioned = query if query_pos is None else query + query_pos
        positioned, value = positioned.transpose(0, 1), query.transpose(0, 1)  # (B, N, C) -> (N, B, C)
        output, _ = self.attn(positioned, positioned, value, attn_mask=attn_mask, need_weights=False)
        return query + self.dropout_layer(self.proj_drop(output.transpose(0, 1)))


class SharedValueAttention(MultiScaleDeformableAttention):
    """Deformable attention whose projected values can serve several calls."""

    def attend(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the projected attention alone; ``value`` may be what :meth:`project` returned."""
        if value.dim() == 4:
            return self.attend_projected(query, value, reference_points, spatial_shapes, level_start_index)
        return super().attend(query, value, reference_points, spatial_shapes, level_start_index, key_padding_mask)


class RelationEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """mmdet's layer with the core's deformable attention; no dropout unless it is asked for (mmcv's default is 0.1)."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.self_attn = MultiScaleDeformableAttention(**{"dropout": 0.0, **self.self_attn_cfg})


class RelationDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """mmdet's layer with the two attentions above; no dropout unless it is asked for."""

    def _init_layers(self) -> None:
        super()._init_layers()
        # a dict of its own: mmcv writes `dropout` into its default one, which all attentions of a process share
        none = {"dropout_layer": dict(type="Dropout", drop_prob=0.0)}
        self.self_attn = BiasedSelfAttention(**{**none, **self.self_attn_cfg})
        self.cross_attn = SharedValueAttention(**{"dropout": 0.0, **self.cross_attn_cfg})
