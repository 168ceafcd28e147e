"""mmdet's DINO with the position relation of Relation-DETR (arXiv 2407.11699, section 4) in its decoder.

Only the decoder's self-attention changes: backbone, encoder, head, losses and the names of all other parameters are
mmdet's, so that a checkpoint of mmdet's DINO loads. In a config the plug-in is two lines::

    _base_ = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"
    model = dict(type="DINOWithPositionRelation", position_relation=dict(type="PositionRelationEmbedding"))
"""

from __future__ import annotations

import torch
from mmdet.models.detectors import DINO
from mmdet.models.layers import DinoTransformerDecoder, coordinate_to_encoding, inverse_sigmoid
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mm_relation_detr.models.position_relation import relation_of_heads


class PositionRelationDinoDecoder(DinoTransformerDecoder):
    """DINO's decoder whose self-attention, from the second layer on, is biased by the relation of refined boxes.

    Args:
        position_relation: config of the relation module, which all layers share; its ``num_heads`` is that of the
            layers' self-attention where it is not given.
        kwargs: as in mmdet.

    Raises:
        ValueError: the module has another number of heads than the layers' self-attention.
    """

    def __init__(self, *, position_relation: dict, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.position_relation_embedding = relation_of_heads(position_relation, self.layers[0].self_attn.num_heads)
        self.position_relation_embedding.requires_grad_(self.num_layers > 1)  # else unused: see the other decoder

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
        reg_branches: nn.ModuleList,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """Return what DINO's decoder returns, with mmdet's arguments.

        mmdet's loop gives every layer the same mask, which is why it stands here once more.

        Args:
            query: ``(B, N, C)``.
            value: the encoder's memory, ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, True where a value is padding.
            self_attn_mask: ``(N, N)``, True where attention is blocked; None without denoising queries.
            reference_points: boxes ``(cx, cy, w, h)`` in [0, 1], ``(B, N, 4)``.
            spatial_shapes: ``(L, 2)`` as (H, W).
            level_start_index: ``(L,)``.
            valid_ratios: ``(B, L, 2)`` as (w, h).
            reg_branches: the heads that refine boxes, one for each layer.
            kwargs: passed to the layers.

        Returns:
            The layers' normalised states ``(layers, B, N, C)``, and boxes ``(layers + 1, B, N, 4)``, the initial ones
            first.
        """
        ratios = torch.cat([valid_ratios, valid_ratios], -1)[:, None]
        attn_mask, source = self_attn_mask, reference_points
        states, references = [], [reference_points]
        for index, (layer, refine) in enumerate(zip(self.layers, reg_branches, strict=False)):
            boxes = reference_points[:, :, None] * ratios  # (B, N, L, 4)
            query = layer(
                query,
                query_pos=self.ref_point_head(coordinate_to_encoding(boxes[:, :, 0], num_feats=self.embed_dims)),
                value=value,
                key_padding_mask=key_padding_mask,
                self_attn_mask=attn_mask,
                spatial_shapes=spatial_shapes,
                level_start_index=level_start_index,
                valid_ratios=valid_ratios,
                reference_points=boxes,
                **kwargs,
            )
            state = self.norm(query)
            if index + 1 < self.num_layers:
                with torch.no_grad():  # the layer's output, as the head computes it
                    target = (refine(state) + inverse_sigmoid(references[-1])).sigmoid()
                attn_mask = self.position_relation_embedding(source, target, self_attn_mask).flatten(0, 1)
                source = target
            refined = (refine(query) + inverse_sigmoid(reference_points, eps=1e-3)).sigmoid()
            reference_points = refined.detach()
            states.append(state)
            references.append(refined)
        return torch.stack(states), torch.stack(references)


@MODELS.register_module()
class DINOWithPositionRelation(DINO):
    """mmdet's DINO with the position relation in its decoder.

    Args:
        bbox_head, dn_cfg: as in mmdet.
        position_relation: config of the relation module.
        args, kwargs: as in mmdet.
    """

    def __init__(
        self,
        *args: object,
        bbox_head: dict | ConfigDict,
        position_relation: dict | ConfigDict,
        dn_cfg: dict | ConfigDict | None = None,
        **kwargs: object,
    ) -> None:
        self.position_relation = position_relation
        # copies: mmdet writes into both, and a config may be built twice
        dn_cfg = {**dn_cfg} if dn_cfg is not None else None
        super().__init__(*args, bbox_head={**bbox_head}, dn_cfg=dn_cfg, **kwargs)

    def _init_layers(self) -> None:
        decoder = self.decoder
        super()._init_layers()  # mmdet names the decoder's class there
        self.decoder = PositionRelationDinoDecoder(**decoder, position_relation=self.position_relation)
        nn.init.normal_(self.level_embed)  # mmdet leaves it as the memory was until init_weights is called

    def init_weights(self) -> None:
        """Initialise as mmdet does, and the relation's map as PyTorch does, as the official code has it."""
        super().init_weights()
        self.decoder.position_relation_embedding.init_weights()
