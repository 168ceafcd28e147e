"""The decoder of ViDT (arXiv 2110.03921; naver-ai/vidt @ a8c48b5): deformable attention without an encoder before it.

Layers are mmdet's. mmdet's own loop detaches the boxes that it refines, so its heads run every box branch again; and it
knows no prediction before the first layer, which ViDT makes from the body's tokens. Here each branch runs once, and its
boxes serve the loss and, detached, the next layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import (
    DeformableDetrTransformerDecoder,
    DeformableDetrTransformerDecoderLayer,
    inverse_sigmoid,
)
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.ops import MultiScaleDeformableAttention


class Memory(NamedTuple):
    """The maps that queries attend to, level by level and row by row, and where they are padded."""

    tokens: Tensor  # (B, S, C)
    padding: Tensor  # True where a token is padding, (B, S)
    shapes: Tensor  # (H, W) of each level, (levels, 2)
    starts: Tensor  # index of each level's first token, (levels,)
    valid_ratios: Tensor  # (w, h), the part of each level that is not padding, (B, levels, 2)


class SelfAttention(MultiheadAttention):
    """mmcv's self-attention without the attention weights, which mmcv averages over heads in every call."""

    def forward(self, query: Tensor, query_pos: Tensor, **kwargs: object) -> Tensor:
        """Return the attention of queries to queries plus the queries.

        Args:
            query: ``(B, N, C)``.
            query_pos: added to queries and keys, not to values, ``(B, N, C)`` or ``(1, N, C)``.
            kwargs: not read: what mmdet's layer passes for the sake of other attentions.
        """
        positioned, value = (query + query_pos).transpose(0, 1), query.transpose(0, 1)  # (B, N, C) -> (N, B, C)
        output, _ = self.attn(positioned, positioned, value, need_weights=False)
        return query + self.dropout_layer(self.proj_drop(output.transpose(0, 1)))


class ViDTDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """mmdet's layer with the attentions of this project."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.self_attn = SelfAttention(**self.self_attn_cfg)
        self.cross_attn = MultiScaleDeformableAttention(**self.cross_attn_cfg)


class ViDTDecoder(DeformableDetrTransformerDecoder):
    """Decoder that predicts boxes from its input and after each of its layers.

    Args:
        num_layers: number of layers; officially 6, and 4 with "decoding layer drop".
        embed_dims: channels.
        num_heads: heads of both attentions.
        num_levels: maps that are sampled.
        num_points: samples per head and map.
        feedforward_channels: width of the feed-forward network.
        dropout: of attention weights, attentions' outputs and the feed-forward network.
        with_cp: compute the layers again in the backward pass.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_layers: int = 6,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        attention = dict(embed_dims=embed_dims, num_heads=num_heads, batch_first=True)
        layer = dict(
            self_attn_cfg=dict(**attention, attn_drop=dropout, dropout_layer=dict(type="Dropout", drop_prob=dropout)),
            cross_attn_cfg=dict(**attention, num_levels=num_levels, num_points=num_points, dropout=dropout),
            ffn_cfg=dict(embed_dims=embed_dims, feedforward_channels=feedforward_channels, ffn_drop=dropout),
        )
        super().__init__(num_layers, layer, post_norm_cfg=None, init_cfg=init_cfg)
        self.num_levels, self.with_cp = num_levels, with_cp

    def _init_layers(self) -> None:
        self.layers = ModuleList(ViDTDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims

    def init_weights(self) -> None:
        """Draw what the official code draws: matrices xavier-uniform, sampling offsets on a grid around the query."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for layer in self.layers:
            layer.cross_attn.init_weights()

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Memory,
        reference_points: Tensor,
        reg_branches: Sequence[nn.Module],
        with_box_refine: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Return what heads take at every level, and the boxes.

        Args:
            query: the body's projected [DET] tokens, ``(B, N, C)``.
            query_pos: their positions, ``(B, N, C)`` or ``(1, N, C)``.
            memory: what is attended to.
            reference_points: (cx, cy) in [0, 1] of the image without padding, ``(B, N, 2)`` or ``(1, N, 2)``.
            reg_branches: box branches of level 0, the input, and of each layer.
            with_box_refine: each layer samples in the boxes that were predicted before it; else around the points.

        Returns:
            The input and the output of each layer, ``(L + 1, B, N, C)``, and boxes (cx, cy, w, h) in [0, 1],
            ``(L + 1, B, N, 4)``.
        """
        states, boxes = [query], [_move(reference_points, reg_branches[0](query))]
        for layer, branch in zip(self.layers, reg_branches[1:], strict=True):
            reference = boxes[-1].detach() if with_box_refine else reference_points
            ratios = memory.valid_ratios.repeat(1, 1, reference.size(-1) // 2)[:, None]
            arguments = {
                "query_pos": query_pos,
                "value": memory.tokens,
                "key_padding_mask": memory.padding,
                "reference_points": reference[:, :, None] * ratios,  # (B, N, levels, 2 or 4)
                "spatial_shapes": memory.shapes,
                "level_start_index": memory.starts,
            }
            if self.with_cp and self.training:
                query = checkpoint(layer, query, use_reentrant=False, **arguments)
            else:
                query = layer(query, **arguments)
            states.append(query)
            boxes.append(_move(reference, branch(query)))
        return torch.stack(states), torch.stack(boxes)


def _move(reference: Tensor, offsets: Tensor) -> Tensor:
    """Return boxes, ``(B, N, 4)``: a box moved by what a branch predicts, or at a point, which has no size to move."""
    offsets = offsets.float()  # in bf16 a box would be rounded to 1/256 of the image
    logits = inverse_sigmoid(reference)
    if reference.size(-1) == 2:
        return torch.cat([offsets[..., :2] + logits, offsets[..., 2:]], -1).sigmoid()
    return (offsets + logits).sigmoid()
