"""Relation-DETR (Hou et al., ECCV 2024, arXiv 2407.11699; xiuqhou/Relation-DETR @ b485955)."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mm_relation_detr.models.dino_pp import DINOPP, learned_queries
from mm_relation_detr.models.relation_transformer import Queries


@MODELS.register_module()
class RelationDETR(DINOPP):
    """DINO++ with fused memory, scaled positions and, in training, a second pass of the decoder (section 4.3).

    The hybrid pass has queries of its own, several for each target, and no relation. Weights of the decoder are the
    same, and so are the projected values, which both passes sample.

    Args:
        bbox_head: the head's config.
        num_queries: queries of the main pass.
        hybrid_num_queries: queries of the hybrid pass; 0 leaves out what only that pass has, as predicting allows.
        hybrid_repeat: how many hybrid queries belong to a target.
        args, kwargs: see :class:`RelationTransformer`.

    Raises:
        ValueError: the head's config has what the detector sets there.
    """

    encoder_settings: ClassVar = dict(memory_fusion=True)
    decoder_settings: ClassVar = dict(query_scale=True)

    def __init__(
        self,
        *args: Any,
        bbox_head: dict | ConfigDict,
        num_queries: int = 900,
        hybrid_num_queries: int = 1500,
        hybrid_repeat: int = 6,
        **kwargs: Any,
    ) -> None:
        if given := {"hybrid", "hybrid_repeat"} & bbox_head.keys():
            raise ValueError(
                f"bbox_head has {', '.join(sorted(given))}, which the detector sets: give hybrid_num_queries and "
                "hybrid_repeat to the detector instead"
            )
        self.hybrid_num_queries = hybrid_num_queries
        bbox_head = {**bbox_head, "hybrid": hybrid_num_queries > 0, "hybrid_repeat": hybrid_repeat}
        super().__init__(*args, bbox_head=bbox_head, num_queries=num_queries, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.hybrid_num_queries:
            self.hybrid_query_embedding = nn.Embedding(self.hybrid_num_queries, self.embed_dims)

    def pre_decoder(
        self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor
    ) -> tuple[Queries, Queries | None]:
        """Return the queries of the main pass and, in training, those of the hybrid one; see the base class."""
        features, anchors = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        main = self.best_queries(features, anchors)
        if not (self.training and self.hybrid_num_queries):
            return main, None
        heads = self.bbox_head.hybrid_cls_branch, self.bbox_head.hybrid_reg_branch
        return main, learned_queries(features, anchors, *heads, self.hybrid_query_embedding)
