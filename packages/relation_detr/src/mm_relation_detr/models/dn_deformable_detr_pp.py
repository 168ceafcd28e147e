"""DN-Deformable-DETR++: denoising (arXiv 2203.01305) with the position relation, one stage.

As trained for Relation-DETR (xiuqhou/Relation-DETR @ b485955).
"""

from __future__ import annotations

from typing import ClassVar

from mmdet.registry import MODELS
from torch import Tensor, nn

from mm_relation_detr.models.denoising import DenoisingWithIndicator
from mm_relation_detr.models.relation_transformer import Queries, RelationTransformer


@MODELS.register_module()
class DNDeformableDETRPP(RelationTransformer):
    """Detector whose queries have learned content and learned boxes.

    The last channel of the content tells denoising queries (1) from others (0).

    Args:
        args, kwargs: see :class:`RelationTransformer`; ``num_queries`` is 300 in the published model.
    """

    two_stage = False
    encoder_settings: ClassVar = dict(memory_fusion=False)
    decoder_settings: ClassVar = dict(head_norm=False, look_forward_twice=False)
    denoising = DenoisingWithIndicator

    def _init_layers(self) -> None:
        super()._init_layers()
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims - 1)
        self.reference_embedding = nn.Embedding(self.num_queries, 4)

    def pre_decoder(
        self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor
    ) -> tuple[Queries, Queries | None]:
        """Return the learned queries; see the base class. Their boxes are learned, so they keep their gradient."""
        content = nn.functional.pad(self.query_embedding.weight, (0, 1))  # (N, C-1) -> (N, C)
        boxes = self.reference_embedding.weight.sigmoid()
        return Queries(*(part.expand(len(memory), -1, -1) for part in (content, boxes))), None
