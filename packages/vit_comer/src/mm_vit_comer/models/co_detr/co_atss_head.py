"""ATSS as an auxiliary head of Co-DETR: it says which anchors it took for positive."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from torch import Tensor

from mm_vit_comer.models.co_detr.positives import Positives


@MODELS.register_module()
class CoMerCoATSSHead(ATSSHead):
    """mmdet's head, with the positive anchors besides the losses. Arguments are its own."""

    def loss_and_positives(
        self, maps: Sequence[Tensor], samples: SampleList
    ) -> tuple[dict[str, list[Tensor]], list[Positives]]:
        """Return the losses, and the positive anchors of each image.

        Args:
            maps: one ``(B, C, H, W)`` per stride of the anchors.
            samples: B of them, with objects.
        """
        objects, ignored, metas = unpack_gt_instances(samples)
        losses = self.loss_by_feat(*self(maps), objects, metas, ignored)
        positives = self._positives
        del self._positives
        return losses, positives

    def get_targets(self, *args, **kwargs) -> tuple:
        """Return mmdet's targets, and keep the positives: the loss, which asks for targets, returns none of them."""
        targets = super().get_targets(*args, **kwargs)
        anchors, labels, _, boxes = (torch.cat(level, 1) for level in targets[:4])
        self._positives = [
            Positives(anchor[positive], label[positive], box[positive])
            for anchor, label, box, positive in zip(anchors, labels, boxes, labels < self.num_classes, strict=True)
        ]
        return targets
