"""Matching and losses of ViDT without its neck, as DETR's (naver-ai/vidt @ 5207d04, ``vidt_wo_neck``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from mm_vidt.models.criterion import box_losses, matching_errors
from mm_vidt.models.matching import BOX_COSTS, LevelsHungarianAssigner, collect_targets
from mm_vidt.models.predictions import Predictions
from mmrepro.detection.label_range import checked_labels
from mmrepro.engine.without_autocast import without_autocast

NECK_FREE_COSTS = (dict(type="ClassificationCost", weight=2.0), *BOX_COSTS)


@MODELS.register_module()
class NeckFreeCriterion(nn.Module):
    """Cross entropy over classes and background, L1 and GIoU of the boxes of one level.

    Args:
        num_classes: without the background, which is the last channel of the logits.
        match_costs: mmdet's costs of the matching.
        background_weight: weight of queries without a target in the cross entropy, a weighted mean of this process.
        cls_weight, bbox_weight, iou_weight: weights of the losses.
        log_errors: add :func:`mm_vidt.models.criterion.matching_errors`, which the official code logs.
    """

    def __init__(
        self,
        num_classes: int,
        match_costs: Sequence[dict] = NECK_FREE_COSTS,
        background_weight: float = 0.1,
        cls_weight: float = 1.0,
        bbox_weight: float = 5.0,
        iou_weight: float = 2.0,
        log_errors: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.assigner = TASK_UTILS.build(dict(type=LevelsHungarianAssigner, match_costs=match_costs))
        self.cls_weight = cls_weight
        self.box_weights = {"loss_bbox": bbox_weight, "loss_iou": iou_weight}
        self.log_errors = log_errors
        class_weights = torch.ones(num_classes + 1, device="cpu")  # also where the model is built on "meta"
        class_weights[-1] = background_weight
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(
        self, predictions: Predictions, batch_gt_instances: Sequence[InstanceData], batch_img_metas: Sequence[dict]
    ) -> dict[str, Tensor]:
        """Return the weighted losses ``loss_cls``, ``loss_bbox`` and ``loss_iou``, computed in float32.

        Args:
            predictions: of one level, ``(1, B, N, ...)``; the logits have ``num_classes + 1`` channels.
            batch_gt_instances: ``bboxes`` ``(x1, y1, x2, y2)`` in pixels and ``labels`` of each image.
            batch_img_metas: with ``img_shape``, (H, W) without padding.

        Raises:
            ValueError: labels that the model has no class for, or predictions that are not finite.
        """
        with without_autocast(predictions.logits):
            checked_labels(batch_gt_instances, batch_img_metas, self.num_classes)
            logits, boxes = predictions.logits.float(), predictions.boxes.float()
            targets = collect_targets(batch_gt_instances, batch_img_metas)
            number = reduce_mean(boxes.new_tensor(float(sum(targets.counts)))).clamp(min=1)
            pairs = self.assigner.match(logits, boxes, targets)
            wanted = torch.full_like(logits[..., 0], self.num_classes, dtype=torch.long)
            wanted[pairs.place] = targets.labels[pairs.targets]
            entropy = F.cross_entropy(logits.flatten(0, 2), wanted.flatten(), self.class_weights)
            of_boxes = box_losses(boxes, targets, pairs)
            weighted = {name: weight * of_boxes[name][0] / number for name, weight in self.box_weights.items()}
            found = {"loss_cls": self.cls_weight * entropy} | weighted
            return found | matching_errors(logits, targets, pairs) if self.log_errors else found
