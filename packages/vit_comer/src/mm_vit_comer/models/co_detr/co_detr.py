"""Co-DETR: DINO whose encoder also learns from Faster R-CNN and ATSS, and whose decoder from what these found.

Paper: "DETRs with Collaborative Hybrid Assignments Training" (ICCV 2023, arXiv 2211.12860): figure 3, equations 1 to 4.
Its decoder's third term, features at the positives' places, is left out, as ViT-CoMer's config of branch Co-DETR @
8f2207f leaves it out (``with_coord_feat=False``). In the test nothing but DINO is left.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import DINO
from mmdet.models.layers import inverse_sigmoid
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_vit_comer.models.co_detr.positives import Positives, batch_positives

BRANCHES = ("roi", "atss")


@MODELS.register_module()
class CoMerCoDETR(DINO):
    """DINO with auxiliary heads in training.

    The encoder's maps, and one more at half the resolution of the last, feed the auxiliary heads. What each of them
    assigned to objects, the boxes of positive proposals and anchors, become queries of the decoder, a group for each
    head; groups go through the decoder one by one, and learn the object that the head assigned without matching.

    Args:
        *args: as in mmdet's DINO.
        rpn_head: the first stage of Faster R-CNN, with ``train_cfg`` and, for the proposals, ``test_cfg``.
        roi_head: its second stage, a :class:`CoMerCoRoIHead` with ``train_cfg``.
        atss_head: a :class:`CoMerCoATSSHead` with ``train_cfg``.
        auxiliary_weight: factor of these heads' losses: 12, the paper's weight of 2 for each of 6 decoder layers. The
            decoder's losses for their positives have the paper's weight 1.
        max_positives: queries that a head may add for an image.
        with_cp: in training compute the encoder's layers again in the backward pass instead of keeping their
            activations. mmdet's ``num_cp`` is the same by way of fairscale.
        **kwargs: as in mmdet's DINO; ``bbox_head`` is a :class:`CoMerCoDINOHead`.
    """

    def __init__(
        self,
        *args: Any,
        rpn_head: dict,
        roi_head: dict,
        atss_head: dict,
        auxiliary_weight: float = 12.0,
        max_positives: int = 300,
        with_cp: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **copy.deepcopy(kwargs))  # mmdet writes into what it is given
        self.rpn_head = MODELS.build(rpn_head)
        self.roi_head = MODELS.build(roi_head)
        self.atss_head = MODELS.build(atss_head)
        self.auxiliary_weight = auxiliary_weight
        self.max_positives = max_positives
        self.with_cp = with_cp

    def _init_layers(self) -> None:
        super()._init_layers()
        nn.init.normal_(self.level_embed)  # mmdet leaves it as it lay in memory until init_weights
        channels = self.embed_dims
        self.downsample = nn.Sequential(nn.Conv2d(channels, channels, 3, 2, 1), nn.GroupNorm(32, channels))
        self.positive_queries = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(2 * channels, channels), nn.LayerNorm(channels)) for name in BRANCHES}
        )

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor | list[Tensor]]:
        """Return the losses of DINO, of the auxiliary heads (``rpn.``, ``roi.``, ``atss.``), and of their positives.

        Args:
            batch_inputs: normalised images ``(B, 3, h, w)``.
            batch_data_samples: B of them, with objects.

        Returns:
            By name; those of positives begin with ``roi_query.`` and ``atss_query.``.
        """
        features = self.extract_feat(batch_inputs)
        encoder_inputs, decoder_inputs = self.pre_transformer(features, batch_data_samples)
        encoded = self.forward_encoder(**encoder_inputs)
        queries, head_inputs = self.pre_decoder(**encoded, batch_data_samples=batch_data_samples)
        decoded = self.forward_decoder(**decoder_inputs, **queries)
        losses = self.bbox_head.loss(**head_inputs, **decoded, batch_data_samples=batch_data_samples)

        memory = encoded["memory"]
        found, positives = self._auxiliary_losses(self._pyramid(memory, features), batch_data_samples)
        losses |= found
        for name, ones in positives.items():
            given = dict(decoder_inputs, memory=memory)
            losses |= prefixed(f"{name}_query", self._positive_losses(name, ones, given, batch_data_samples))
        return losses

    def forward_encoder(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
    ) -> dict[str, Tensor | None]:
        """Return the memory with its mask and shapes, as mmdet does; with ``with_cp`` without keeping activations.

        Args:
            feat: tokens of all levels, ``(B, S, C)``.
            feat_mask: ``(B, S)``, True where a token is padding; None where none is.
            feat_pos: their positions, ``(B, S, C)``.
            spatial_shapes: (H, W) of each level.
            level_start_index: where each level begins.
            valid_ratios: ``(B, levels, 2)`` as (w, h).
        """
        shared = dict(spatial_shapes=spatial_shapes, level_start_index=level_start_index, valid_ratios=valid_ratios)
        if not (self.with_cp and self.training):
            return super().forward_encoder(feat, feat_mask, feat_pos, **shared)
        points = self.encoder.get_encoder_reference_points(spatial_shapes, valid_ratios, device=feat.device)
        shared |= dict(query_pos=feat_pos, key_padding_mask=feat_mask, reference_points=points)
        for layer in self.encoder.layers:
            feat = checkpoint(layer, feat, use_reentrant=False, **shared)
        return dict(memory=feat, memory_mask=feat_mask, spatial_shapes=spatial_shapes)

    def _pyramid(self, memory: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the memory as maps of the features' sizes, and one of half the last's."""
        sizes = [tuple(one.shape[-2:]) for one in features]
        parts = memory.split([height * width for height, width in sizes], 1)
        maps = [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]
        return [*maps, self.downsample(maps[-1])]

    def _auxiliary_losses(
        self, maps: Sequence[Tensor], samples: SampleList
    ) -> tuple[dict[str, Tensor | list[Tensor]], dict[str, list[Positives]]]:
        """Return the weighted losses of the auxiliary heads, and the positives of each by image."""
        without_classes = copy.deepcopy(samples)
        for one in without_classes:
            one.gt_instances.labels.zero_()  # proposals are of things, whatever they are
        rpn, proposals = self.rpn_head.loss_and_predict(maps, without_classes)
        roi, of_roi = self.roi_head.loss_and_positives(maps, proposals, samples)
        atss, of_atss = self.atss_head.loss_and_positives(maps, samples)
        losses = {}
        for name, found in (("rpn", rpn), ("roi", roi), ("atss", atss)):
            losses |= prefixed(name, found, self.auxiliary_weight)
        return losses, dict(roi=of_roi, atss=of_atss)

    def _positive_losses(
        self, name: str, positives: list[Positives], decoder_inputs: dict[str, Any], samples: SampleList
    ) -> dict[str, Tensor]:
        """Return the decoder's losses for one head's positives, which make a group of queries of their own."""
        shapes = [one.img_shape for one in samples]
        batch = batch_positives(positives, shapes, self.bbox_head.num_classes, self.max_positives)
        places = self.get_proposal_pos_embed(inverse_sigmoid(batch.references), num_pos_feats=self.embed_dims // 2)
        heads = self.decoder.layers[0].self_attn.num_heads
        decoded = self.forward_decoder(
            **decoder_inputs,
            query=self.positive_queries[name](places),
            reference_points=batch.references,
            dn_mask=batch.attention_mask(heads),
        )
        return self.bbox_head.loss_positives(**decoded, batch=batch, shapes=shapes)


def prefixed(
    name: str, losses: dict[str, Tensor | list[Tensor]], weight: float = 1.0
) -> dict[str, Tensor | list[Tensor]]:
    """Return losses under ``name.`` and times ``weight``; what is no loss, such as an accuracy, is not weighted."""
    found = {}
    for key, value in losses.items():
        factor = weight if "loss" in key else 1.0
        found[f"{name}.{key}"] = [one * factor for one in value] if isinstance(value, list) else value * factor
    return found
