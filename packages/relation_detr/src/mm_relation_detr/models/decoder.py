"""The decoder of Relation-DETR (arXiv 2407.11699, section 4; xiuqhou/Relation-DETR @ b485955).

From the second layer on, self-attention is biased by the relation of the boxes that the last two layers predicted.
mmdet's `DinoTransformerDecoder` embeds each coordinate in twice as many numbers, refines boxes without the heads'
norm and gives every layer the same mask; it also leaves the heads' boxes to the head, while the relation needs them
here. So layers alone come from mmdet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.layers import MLP, DeformableDetrTransformerDecoder, coordinate_to_encoding, inverse_sigmoid
from mmengine.config import ConfigDict
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_relation_detr.models.attention_layers import RelationDecoderLayer
from mm_relation_detr.models.position_relation import relation_of_heads

EPS = 1e-3  # of the official inverse sigmoid; mmdet's default is 1e-5


class RelationTransformerDecoder(DeformableDetrTransformerDecoder):
    """Decoder that refines boxes layer by layer, with a relation of boxes in its self-attention.

    Args:
        num_layers: number of layers.
        layer_cfg: arguments of a layer, as in mmdet.
        position_relation: config of the relation module, which all layers share; its ``num_heads`` is that of the
            layers' self-attention where it is not given. None leaves the module out.
        use_relation: whether the layers get the relation. The released Deformable-DETR++ has the module and never
            uses it.
        query_scale: whether the queries' positions are scaled by a perceptron of the queries, from the second layer on.
        head_norm: whether heads see the queries normalised, by one norm that all layers share.
        look_forward_twice: whether a box's gradient reaches the layer before it (DINO, arXiv 2203.03605, section 3.5);
            the next layer then gets the box that the head predicts from queries without the norm.
        with_cp: compute the layers again in the backward pass.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the relation has another number of heads than the layers' self-attention.
    """

    def __init__(
        self,
        num_layers: int,
        layer_cfg: dict | ConfigDict,
        position_relation: dict | None = None,
        use_relation: bool = True,
        query_scale: bool = True,
        head_norm: bool = True,
        look_forward_twice: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_layers, layer_cfg, post_norm_cfg=None, init_cfg=init_cfg)
        self.look_forward_twice, self.with_cp = look_forward_twice, with_cp
        dims = self.embed_dims
        self.ref_point_head = self._position_head()
        self.query_scale = MLP(dims, dims, dims, 2) if query_scale else None
        self.norm = nn.LayerNorm(dims) if head_norm else None
        self.position_relation_embedding = None
        self.use_relation = use_relation and position_relation is not None
        if position_relation is not None:
            self.position_relation_embedding = relation_of_heads(position_relation, self.layers[0].self_attn.num_heads)
        # what is not used gets no gradient, as officially: frozen, distributed training does not wait for it, nor does
        # weight decay change it
        if self.position_relation_embedding is not None:
            self.position_relation_embedding.requires_grad_(use_relation and num_layers > 1)
        if self.query_scale is not None:
            self.query_scale.requires_grad_(num_layers > 1)

    def _init_layers(self) -> None:
        self.layers = ModuleList(RelationDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims

    def _position_head(self) -> nn.Module:
        # half of the 4C numbers of DINO: each coordinate is embedded in C/2
        return MLP(2 * self.embed_dims, self.embed_dims, self.embed_dims, 2)

    def init_weights(self) -> None:
        """Draw what the official code draws; norms and the relation keep what PyTorch drew for them.

        So do the biases of feed-forward networks: officially layers start as copies, here each has its own.
        """
        for part in (self.layers, self.ref_point_head, self.query_scale):
            for parameter in () if part is None else part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        for part in (self.ref_point_head, self.query_scale):
            for module in () if part is None else part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)
        for layer in self.layers:
            layer.cross_attn.init_weights()

    def project(self, value: Tensor, key_padding_mask: Tensor | None) -> list[Tensor]:
        """Return each layer's projected values, ``(B, S, h, d)``, for several passes over the same memory.

        Args:
            value: the memory, ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, True where a value is padding.
        """
        return [layer.cross_attn.project(value, key_padding_mask) for layer in self.layers]

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None,
        self_attn_mask: Tensor | None,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
        reg_branches: Sequence[nn.Module],
        skip_relation: bool = False,
        values: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return what the class heads take, and the boxes that the box heads predict.

        Args:
            query: content of the queries, ``(B, N, C)``.
            value: the encoder's memory, ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, True where a value is padding.
            self_attn_mask: ``(N, N)``, True where attention is blocked; None where it never is.
            reference_points: boxes ``(cx, cy, w, h)`` in [0, 1], ``(B, N, 4)``.
            spatial_shapes: ``(L, 2)`` as (H, W).
            level_start_index: ``(L,)``.
            valid_ratios: ``(B, L, 2)`` as (w, h).
            reg_branches: box heads, one for each layer; more are not read.
            skip_relation: leave the relation out of this pass.
            values: what :meth:`project` returned for this memory.

        Returns:
            States of all layers, ``(layers, B, N, C)``, and boxes ``(cx, cy, w, h)`` in [0, 1], ``(layers, B, N, 4)``.
        """
        ratios = torch.cat([valid_ratios, valid_ratios], -1)[:, None]
        relate = self.use_relation and not skip_relation
        fixed_position = self._fixed_position(reference_points)
        attn_mask, source = self_attn_mask, reference_points
        states, boxes = [], []
        for index, layer in enumerate(self.layers):
            scaled = reference_points.detach()[:, :, None] * ratios  # (B, N, L, 4)
            arguments = {
                "query_pos": self._position(index, query, scaled) if fixed_position is None else fixed_position,
                "value": value if values is None else values[index],
                "key_padding_mask": key_padding_mask,
                "self_attn_mask": attn_mask,
                "reference_points": scaled,
                "spatial_shapes": spatial_shapes,
                "level_start_index": level_start_index,
            }
            if self.with_cp and self.training:
                query = checkpoint(layer, query, use_reentrant=False, **arguments)
            else:
                query = layer(query, **arguments)
            state = query if self.norm is None else self.norm(query)
            last = index + 1 == self.num_layers
            box, reference_points = self._refine(reg_branches[index], state, None if last else query, reference_points)
            states.append(state)
            boxes.append(box)
            if relate and not last:
                # a row is a box of the layer before, a column a box of this layer: progressive refinement
                relation = self.position_relation_embedding(source, box, self_attn_mask)
                attn_mask, source = relation.flatten(0, 1), box  # (B, h, N, N) -> (B*h, N, N)
        return torch.stack(states), torch.stack(boxes)

    def _fixed_position(self, boxes: Tensor) -> Tensor | None:
        """Return the position of all layers where they share one, ``(B, N, C)``, for the initial boxes."""
        return None

    def _position(self, index: int, query: Tensor, boxes: Tensor) -> Tensor:
        """Return a layer's positions, ``(B, N, C)``, for boxes in units of padded levels, ``(B, N, L, 4)``."""
        position = self.ref_point_head(coordinate_to_encoding(boxes[:, :, 0], num_feats=self.embed_dims // 2))
        if index == 0 or self.query_scale is None:
            return position
        return position * self.query_scale(query)

    def _refine(self, head: nn.Module, state: Tensor, query: Tensor | None, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return a layer's boxes, and those that the next layer starts from.

        Args:
            head: the layer's box head.
            state: what the output is predicted from, ``(B, N, C)``.
            query: what the next layer's boxes are predicted from, ``(B, N, C)``; None after the last layer.
            boxes: what the layer started from, ``(B, N, 4)``.
        """
        logits = inverse_sigmoid(boxes, eps=EPS)
        if query is None or not self.look_forward_twice:
            refined = (head(state) + logits).sigmoid()
            return refined, refined.detach()
        offsets, from_query = head(torch.stack([state, query]))  # one call of the head for both
        return (offsets + logits).sigmoid(), (from_query + logits.detach()).sigmoid()
