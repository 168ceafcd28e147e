"""The second stage of Faster R-CNN as an auxiliary head of Co-DETR: it says which proposals it took for positive."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mm_vit_comer.models.co_detr.positives import Positives


@MODELS.register_module()
class CoMerCoRoIHead(StandardRoIHead):
    """mmdet's head for boxes, with the positive proposals besides the losses. Arguments are its own."""

    def loss_and_positives(
        self, maps: Sequence[Tensor], proposals: InstanceList, samples: SampleList
    ) -> tuple[dict[str, Tensor], list[Positives]]:
        """Return the losses, and the positive proposals of each image.

        Args:
            maps: one ``(B, C, H, W)`` per stride; the extractor takes the first ones, as many as it has.
            proposals: ``bboxes`` of each image.
            samples: B of them, with objects.
        """
        objects, ignored, _ = unpack_gt_instances(samples)
        sampled = []
        for proposed, there, left_out in zip(proposals, objects, ignored, strict=True):
            priors = InstanceData(priors=proposed.bboxes)
            assigned = self.bbox_assigner.assign(priors, there, left_out)
            sampled.append(self.bbox_sampler.sample(assigned, priors, there))
        # mmdet's loss() does the same, and keeps the samples to itself
        losses = self.bbox_loss(maps, sampled)["loss_bbox"]
        return losses, [Positives(one.pos_priors, one.pos_gt_labels, one.pos_gt_bboxes) for one in sampled]
