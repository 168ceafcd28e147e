"""The encoder of Relation-DETR (arXiv 2407.11699; xiuqhou/Relation-DETR @ b485955): mmdet's, and its layers' fusion.

The official code concatenates the input with the outputs of all layers and projects them at once. Here the projection
is a sum that grows as layers finish, so nothing seven times as wide as the memory exists; the other order of summation
changes results by about 1e-6. Under autocast the products are rounded as the official one is, and summed in single
precision.
"""

from __future__ import annotations

import torch
from mmdet.models.layers import DeformableDetrTransformerEncoder
from mmengine.config import ConfigDict
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mm_relation_detr.models.attention_layers import RelationEncoderLayer


class RelationTransformerEncoder(DeformableDetrTransformerEncoder):
    """Encoder of Deformable DETR, with the fusion of all its layers' outputs where asked for.

    Args:
        num_layers: number of layers.
        layer_cfg: arguments of a layer, as in mmdet.
        memory_fusion: whether the memory is a perceptron of the input and of all layers' outputs, or the last output.
        with_cp: compute the layers again in the backward pass. mmdet's ``num_cp`` needs another package for that.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_layers: int,
        layer_cfg: dict | ConfigDict,
        memory_fusion: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_layers, layer_cfg, init_cfg=init_cfg)
        self.with_cp = with_cp
        dims = self.embed_dims
        self.memory_fusion = None
        if memory_fusion:
            self.memory_fusion = nn.Sequential(
                nn.Linear((num_layers + 1) * dims, dims), nn.ReLU(), nn.Linear(dims, dims), nn.LayerNorm(dims)
            )

    def _init_layers(self) -> None:
        self.layers = ModuleList(RelationEncoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Tensor | None,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
    ) -> Tensor:
        """Return the memory, ``(B, S, C)``.

        Args:
            query: tokens of all levels, level by level and row by row, ``(B, S, C)``.
            query_pos: their positions, level embeddings added, ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, True where a token is padding.
            spatial_shapes: ``(L, 2)`` as (H, W).
            level_start_index: ``(L,)``.
            valid_ratios: ``(B, L, 2)`` as (w, h).
        """
        shared = {
            "query_pos": query_pos,
            "key_padding_mask": key_padding_mask,
            "spatial_shapes": spatial_shapes,
            "level_start_index": level_start_index,
            "reference_points": self.get_encoder_reference_points(spatial_shapes, valid_ratios, query.device),
        }
        parts, fused = None, None
        if self.memory_fusion is not None:
            first = self.memory_fusion[0]
            parts = first.weight.split(self.embed_dims, dim=1)  # of the input, then of each layer's output
            fused = F.linear(query, parts[0], first.bias)
            if torch.is_autocast_enabled(query.device.type):
                fused = fused.float()  # a sum in bf16 would double the official product's error
        for index, layer in enumerate(self.layers):
            if self.with_cp and self.training:
                query = checkpoint(layer, query, use_reentrant=False, **shared)
            else:
                query = layer(query, **shared)
            if parts is not None:
                fused = fused + F.linear(query, parts[index + 1])
        return query if fused is None else self.memory_fusion[1:](fused)
