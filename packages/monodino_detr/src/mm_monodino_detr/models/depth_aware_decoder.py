"""The depth-aware decoder: queries attend to depth, to each other and to the maps (arXiv 2502.00315, after MonoDETR).

Source: JihyeokKim/MonoDINO-DETR @ 65004cc. mmdet's decoders have neither the depth attention, nor groups, nor boxes of
six numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers import MLP, coordinate_to_encoding, inverse_sigmoid
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from mm_monodino_detr.models.queries import Queries
from mm_monodino_detr.models.sample_first import SampleFirstAttention
from mm_monodino_detr.models.visual_encoder import Memory
from mmrepro.engine.without_autocast import without_autocast

COORDINATES = 6  # (cx, cy, l, r, t, b)


class DepthAwareDecoderLayer(BaseModule):
    """A post-norm layer: attention to depth, among the queries of a group, to the maps, then a feed-forward network.

    The official self-attention also projects its values beforehand and does not use the result; that projection is
    left out.

    Args:
        embed_dims: C.
        num_heads: heads of all attentions.
        num_levels: maps that are sampled.
        num_points: samples per head and map.
        feedforward_channels: width of the feed-forward network.
        dropout: of attention weights, attentions' outputs and the feed-forward network.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 3,
        num_points: int = 4,
        feedforward_channels: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        attention = dict(dropout=dropout, batch_first=True)
        self.cross_attn_depth = nn.MultiheadAttention(embed_dims, num_heads, **attention)
        self.norm_depth = nn.LayerNorm(embed_dims)
        self.sa_qcontent_proj = nn.Linear(embed_dims, embed_dims)
        self.sa_qpos_proj = nn.Linear(embed_dims, embed_dims)
        self.sa_kcontent_proj = nn.Linear(embed_dims, embed_dims)
        self.sa_kpos_proj = nn.Linear(embed_dims, embed_dims)
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, **attention)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.cross_attn = SampleFirstAttention(embed_dims, num_heads, num_levels, num_points, **attention)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.ffn = FFN(embed_dims, feedforward_channels, ffn_drop=dropout)
        self.norm3 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        references: Tensor,
        memory: Memory,
        depth_tokens: Tensor,
        groups: int = 1,
    ) -> Tensor:
        """Return the queries after the layer, ``(B, N, C)``.

        Args:
            query: ``(B, N, C)``, group by group.
            query_pos: their positions, ``(B, N, C)``.
            references: (cx, cy, l, r, t, b) in [0, 1], ``(B, N, 6)``, or (cx, cy), ``(B, N, 2)``.
            memory: the maps.
            depth_tokens: ``(B, D, C)``.
            groups: number of groups, each of N / groups queries.
        """
        # positions take no part in the attention to depth
        attended, _ = self.cross_attn_depth(query, depth_tokens, depth_tokens, need_weights=False)
        query = self.norm_depth(query + self.dropout(attended))
        query = self.norm2(query + self.dropout(self._attend_within_groups(query, query_pos, groups)))
        query = self.norm1(
            self.cross_attn(
                query,
                value=memory.tokens,
                query_pos=query_pos,
                reference_points=sampling_boxes(references)[:, :, None],
                spatial_shapes=memory.shapes,
                level_start_index=memory.starts,
            )
        )
        return self.norm3(self.ffn(query))

    def _attend_within_groups(self, query: Tensor, query_pos: Tensor, groups: int) -> Tensor:
        positioned, batch = query + query_pos, query.size(0)
        queries = _sum_of_projections(positioned, self.sa_qcontent_proj, self.sa_qpos_proj)
        keys = _sum_of_projections(positioned, self.sa_kcontent_proj, self.sa_kpos_proj)
        folded = [one.unflatten(1, (groups, -1)).flatten(0, 1) for one in (queries, keys, query)]  # (B groups, n, C)
        attended, _ = self.self_attn(*folded, need_weights=False)
        return attended.unflatten(0, (batch, groups)).flatten(1, 2)


@MODELS.register_module()
class DepthAwareDecoder(BaseModule):
    """Decoder whose every layer moves the boxes of its queries.

    Args:
        num_layers: layers.
        embed_dims: C, channels; an even number.
        num_heads: heads of all attentions.
        num_levels: maps that are sampled.
        num_points: samples per head and map.
        feedforward_channels: width of the feed-forward network.
        dropout: of attention weights, attentions' outputs and the feed-forward network.
        use_dab: positions of queries follow their boxes, which are learnt (DAB-DETR); else positions are learnt and
            stay as they are while boxes move.
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
        use_dab: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_layers, self.embed_dims, self.num_levels = num_layers, embed_dims, num_levels
        self.use_dab, self.with_cp = use_dab, with_cp
        self.layers = ModuleList(
            DepthAwareDecoderLayer(embed_dims, num_heads, num_levels, num_points, feedforward_channels, dropout)
            for _ in range(num_layers)
        )
        if use_dab:
            self.ref_point_head = MLP(COORDINATES * (embed_dims // 2), embed_dims, embed_dims, 2)
            self.query_scale = MLP(embed_dims, embed_dims, embed_dims, 2)

    def init_weights(self) -> None:
        """Draw what the official code draws, then follow ``init_cfg``.

        Matrices are xavier-uniform, sampling offsets lie on a grid around the query.
        """
        if not self.is_init:  # a second call changes nothing, as in mmengine
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
            for layer in self.layers:
                layer.cross_attn.init_weights()
        super().init_weights()

    def forward(
        self,
        queries: Queries,
        memory: Memory,
        depth_tokens: Tensor,
        reg_branches: Sequence[nn.Module],
        groups: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Return the queries after each layer, ``(L, B, N, C)``, and the boxes then, ``(L, B, N, 6)``.

        A layer's boxes are what its loss is computed from; the next layer starts from them without a gradient.

        Args:
            queries: with positions where ``use_dab`` is false.
            memory: the maps.
            depth_tokens: what the depth predictor gives, ``(B, D, C)``.
            reg_branches: box branch of each layer, ``(..., C)`` to ``(..., 6)``.
            groups: queries attend to those of their own group, N / groups of them.
        """
        query, references = queries.content, queries.references
        states, boxes = [], []
        for index, (layer, branch) in enumerate(zip(self.layers, reg_branches, strict=True)):
            positions = self._positions(query, references, index) if self.use_dab else queries.positions
            arguments = (positions, references, memory, depth_tokens, groups)
            if self.with_cp and self.training:
                query = checkpoint(layer, query, *arguments, use_reentrant=False)
            else:
                query = layer(query, *arguments)
            states.append(query)
            with without_autocast(query):  # bf16 would round a box to 1/256 of the image, which turns gradients
                boxes.append(move_boxes(references, branch(query.to(references.dtype))))
            references = boxes[-1].detach()
        return torch.stack(states), torch.stack(boxes)

    def _positions(self, query: Tensor, references: Tensor, index: int) -> Tensor:
        """Return the positions of boxes, ``(B, N, C)``, after the first layer scaled by what queries have become."""
        positions = self.ref_point_head(encode_boxes(references, self.embed_dims // 2))
        return positions * self.query_scale(query) if index else positions


def encode_boxes(boxes: Tensor, num_feats: int = 128) -> Tensor:
    """Return sines and cosines of the coordinates in the order cy, cx, l, r, t, b, ``(B, N, 6 num_feats)``.

    Args:
        boxes: (cx, cy, l, r, t, b), ``(B, N, 6)``.
        num_feats: numbers of one coordinate.
    """
    with without_autocast(boxes):
        # mmdet's function takes two or four coordinates, and swaps the first two
        first, last = boxes[..., :4], boxes[..., [5, 4]]
        return torch.cat([coordinate_to_encoding(part, num_feats) for part in (first, last)], -1)


def sampling_boxes(references: Tensor) -> Tensor:
    """Return what deformable attention takes: points as they are, boxes (cx, cy, l, r, t, b) as (cx, cy, l+r, t+b)."""
    if references.size(-1) == 2:
        return references
    centres, left, right, top, bottom = references.split([2, 1, 1, 1, 1], -1)
    return torch.cat([centres, left + right, top + bottom], -1)


def move_boxes(references: Tensor, offsets: Tensor) -> Tensor:
    """Return boxes (cx, cy, l, r, t, b) in [0, 1], ``(B, N, 6)``.

    Args:
        references: boxes that are moved, ``(B, N, 6)``, or points, ``(B, N, 2)``, which have no sides to move.
        offsets: what a branch predicts, ``(B, N, 6)``.
    """
    known = references.size(-1)
    return torch.cat([offsets[..., :known] + inverse_sigmoid(references), offsets[..., known:]], -1).sigmoid()


def _sum_of_projections(tokens: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """Return ``first(tokens) + second(tokens)`` by one product."""
    return linear(tokens, first.weight + second.weight, first.bias + second.bias)
