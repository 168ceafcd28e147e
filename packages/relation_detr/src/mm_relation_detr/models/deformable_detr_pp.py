"""Deformable-DETR++: two-stage Deformable DETR (arXiv 2010.04159) with the position relation's module.

The released code (xiuqhou/Relation-DETR @ b485955) computes the relation and gives its layers the mask without it, so
its reported numbers are those of a model that does not use it. `use_relation` of the decoder says which is meant.
"""

from __future__ import annotations

from typing import ClassVar

from mmdet.models.layers import coordinate_to_encoding
from mmdet.registry import MODELS
from torch import Tensor, nn

from mm_relation_detr.models.decoder import RelationTransformerDecoder
from mm_relation_detr.models.relation_transformer import Queries, RelationTransformer
from mm_relation_detr.models.two_stage import rows, top_tokens


class InitialPositionDecoder(RelationTransformerDecoder):
    """Decoder whose layers all take the positions of the initial boxes."""

    def _position_head(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2 * self.embed_dims, self.embed_dims), nn.LayerNorm(self.embed_dims))

    def _fixed_position(self, boxes: Tensor) -> Tensor:
        return self.ref_point_head(box_encoding(boxes, self.embed_dims))


@MODELS.register_module()
class DeformableDETRPP(RelationTransformer):
    """Two-stage detector whose queries come from the encoder's best boxes alone, which its first class stands for.

    Args:
        args: as in mmdet.
        bbox_head: the head's config.
        decoder: the decoder's config.
        use_relation: bias the self-attention by the relation; False is the released behaviour.
        kwargs: see :class:`RelationTransformer`; ``num_queries`` is 300 in the published model.

    Raises:
        ValueError: the decoder's config has ``use_relation``.
    """

    encoder_settings: ClassVar = dict(memory_fusion=False)
    decoder_type = InitialPositionDecoder
    decoder_settings: ClassVar = dict(query_scale=False, head_norm=False, look_forward_twice=False)

    def __init__(
        self, *args: object, bbox_head: dict, decoder: dict, use_relation: bool = False, **kwargs: object
    ) -> None:
        if "use_relation" in decoder:
            raise ValueError("decoder has use_relation, which the detector sets: give it to the detector instead")
        bbox_head = {**bbox_head, "binary_encoder": True}
        super().__init__(*args, bbox_head=bbox_head, decoder={**decoder, "use_relation": use_relation}, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        self.pos_trans_fc = nn.Linear(2 * self.embed_dims, self.embed_dims)
        self.pos_trans_norm = nn.LayerNorm(self.embed_dims)

    def init_weights(self) -> None:
        """Initialise as in the base class, and the content's projection as the encoder's.

        How the official code starts this projection's bias we do not know; it keeps what PyTorch drew for it.
        """
        super().init_weights()
        nn.init.xavier_uniform_(self.pos_trans_fc.weight)

    def pre_decoder(
        self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor
    ) -> tuple[Queries, Queries | None]:
        """Return the queries of the best tokens; see the base class. All tokens are supervised, so all have a box."""
        features, anchors = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        cls_branch, reg_branch = self.encoder_heads
        scores, boxes = cls_branch(features), (reg_branch(features) + anchors).sigmoid()
        references = rows(boxes, top_tokens(scores[..., 0], self.num_queries)).detach()
        content = self.pos_trans_norm(self.pos_trans_fc(box_encoding(references, self.embed_dims)))
        return Queries(content, references, scores, boxes), None


def box_encoding(boxes: Tensor, dims: int) -> Tensor:
    """Return sines and cosines of boxes in the order x, y, w, h, ``(B, N, 4)`` to ``(B, N, 2 * dims)``."""
    return coordinate_to_encoding(boxes[..., [1, 0, 2, 3]], num_feats=dims // 2)  # which begins with y
