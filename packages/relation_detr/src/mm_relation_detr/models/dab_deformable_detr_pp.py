"""DAB-Deformable-DETR++: dynamic anchor boxes (arXiv 2201.12329) with the position relation.

As trained for Relation-DETR (xiuqhou/Relation-DETR @ b485955).
"""

from __future__ import annotations

from typing import ClassVar

from mmdet.registry import MODELS
from torch import Tensor

from mm_relation_detr.models.relation_transformer import Queries, RelationTransformer
from mm_relation_detr.models.two_stage import propose, rows


@MODELS.register_module()
class DABDeformableDETRPP(RelationTransformer):
    """Two-stage detector whose queries have the content and the boxes of the encoder's best tokens; no denoising.

    Args:
        args, kwargs: see :class:`RelationTransformer`; ``num_queries`` is 300 in the published model.
    """

    encoder_settings: ClassVar = dict(memory_fusion=False)
    decoder_settings: ClassVar = dict(head_norm=False, look_forward_twice=False)

    def pre_decoder(
        self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor
    ) -> tuple[Queries, Queries | None]:
        """Return the queries of the best tokens; see the base class."""
        features, anchors = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        tokens, scores, boxes = propose(features, anchors, *self.encoder_heads, self.num_queries)
        return Queries(rows(features, tokens).detach(), boxes.detach(), scores, boxes), None
