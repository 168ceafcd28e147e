"""DINO++: DINO with the position relation, as trained for Relation-DETR (xiuqhou/Relation-DETR @ b485955)."""

from __future__ import annotations

from typing import ClassVar

from mmdet.registry import MODELS
from torch import Tensor, nn

from mm_relation_detr.models.denoising import ContrastiveDenoising
from mm_relation_detr.models.relation_transformer import Queries, RelationTransformer
from mm_relation_detr.models.two_stage import propose


@MODELS.register_module()
class DINOPP(RelationTransformer):
    """Two-stage detector whose queries have learned content and the encoder's best boxes, with contrastive denoising.

    Args:
        num_queries: how many.
        args, kwargs: see :class:`RelationTransformer`.
    """

    encoder_settings: ClassVar = dict(memory_fusion=False)
    decoder_settings: ClassVar = dict(query_scale=False)
    denoising = ContrastiveDenoising
    denoising_settings: ClassVar = dict(group_cfg=dict(dynamic=True, num_dn_queries=100))

    def _init_layers(self) -> None:
        super()._init_layers()
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)

    def pre_decoder(
        self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor
    ) -> tuple[Queries, Queries | None]:
        """Return the queries of the best tokens; see the base class."""
        features, anchors = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        return self.best_queries(features, anchors), None

    def best_queries(self, features: Tensor, anchors: Tensor) -> Queries:
        """Return the queries of the tokens that the encoder's heads find best, fewer where there are fewer tokens.

        Args:
            features: transformed memory, ``(B, S, C)``.
            anchors: a box per token as logits, ``(B, S, 4)``.
        """
        return learned_queries(features, anchors, *self.encoder_heads, self.query_embedding)


def learned_queries(
    features: Tensor, anchors: Tensor, cls_branch: nn.Module, reg_branch: nn.Module, content: nn.Embedding
) -> Queries:
    """Return queries at the best tokens with learned content: the i-th best token gets the i-th row.

    Args:
        features, anchors, cls_branch, reg_branch: see :func:`propose`.
        content: a row for each query, ``(N, C)``.
    """
    proposals = propose(features, anchors, cls_branch, reg_branch, content.num_embeddings)
    batch, count = proposals.tokens.shape
    rows = content.weight[:count].expand(batch, -1, -1)  # (N, C) -> (B, N, C)
    return Queries(rows, proposals.boxes.detach(), proposals.scores, proposals.boxes)
