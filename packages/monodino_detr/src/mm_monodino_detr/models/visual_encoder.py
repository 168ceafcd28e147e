"""The visual encoder: deformable self-attention over the maps of all levels (arXiv 2502.00315, after Deformable DETR).

Source: JihyeokKim/MonoDINO-DETR @ 65004cc. Layers are mmdet's. mmdet's own loop makes reference points again in every
call and checkpoints with fairscale alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.layers import DeformableDetrTransformerEncoderLayer
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_monodino_detr.models.level_tables import Levels
from mmrepro.ops import MultiScaleDeformableAttention
from mmrepro.ops.pointwise import with_pointwise


class Memory(NamedTuple):
    """The maps that queries attend to, level by level and row by row."""

    tokens: Tensor  # (B, S, C)
    shapes: Tensor  # (h, w) of each level, (levels, 2)
    starts: Tensor  # index of each level's first token, (levels,)


class VisualEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """mmdet's layer with the attention of this project."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.self_attn = with_pointwise(MultiScaleDeformableAttention(**self.self_attn_cfg))
        with_pointwise(self.ffn)


@MODELS.register_module()
class VisualEncoder(BaseModule):
    """Post-norm layers of deformable self-attention; a learnt vector tells the levels apart.

    Args:
        num_layers: layers.
        embed_dims: C, channels.
        num_heads: heads.
        num_levels: maps.
        num_points: samples per head and map.
        feedforward_channels: width of the feed-forward network.
        dropout: of the attention's output and the feed-forward network.
        with_cp: compute the layers again in the backward pass.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_layers: int = 3,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 3,
        num_points: int = 4,
        feedforward_channels: int = 256,
        dropout: float = 0.1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.embed_dims, self.num_levels, self.with_cp = embed_dims, num_levels, with_cp
        self.level_embed = nn.Parameter(torch.empty(num_levels, embed_dims))
        attention = dict(
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=num_levels,
            num_points=num_points,
            dropout=dropout,
            batch_first=True,
        )
        network = dict(embed_dims=embed_dims, feedforward_channels=feedforward_channels, ffn_drop=dropout)
        self.layers = ModuleList(
            VisualEncoderLayer(self_attn_cfg=dict(attention), ffn_cfg=dict(network)) for _ in range(num_layers)
        )
        nn.init.normal_(self.level_embed)

    def init_weights(self) -> None:
        """Draw what the official code draws, then follow ``init_cfg``.

        Matrices are xavier-uniform, sampling offsets lie on a grid around the cell.
        """
        if not self.is_init:  # a second call changes nothing, as in mmengine
            for parameter in self.layers.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
            for layer in self.layers:
                layer.self_attn.init_weights()
            nn.init.normal_(self.level_embed)
        super().init_weights()

    def forward(self, maps: Sequence[Tensor], levels: Levels) -> Memory:
        """Return the memory of a decoder.

        Args:
            maps: ``(B, C, h, w)`` of each level.
            levels: tables of their sizes.
        """
        tokens = torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1)
        positions = torch.cat(
            [
                one.flatten(2).transpose(1, 2) + level
                for one, level in zip(levels.positions, self.level_embed, strict=True)
            ],
            dim=1,
        )
        arguments = {
            "query_pos": positions,  # (1, S, C)
            "key_padding_mask": None,
            "reference_points": levels.centres,
            "spatial_shapes": levels.shapes,
            "level_start_index": levels.starts,
        }
        for layer in self.layers:
            if self.with_cp and self.training:
                tokens = checkpoint(layer, tokens, use_reentrant=False, **arguments)
            else:
                tokens = layer(tokens, **arguments)
        return Memory(tokens, levels.shapes, levels.starts)
