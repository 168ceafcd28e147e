"""DINO's head for Co-DETR: losses of queries whose targets are known, and soft NMS of what it finds."""

from __future__ import annotations

from typing import Any

from mmcv.ops import batched_nms
from mmdet.models.dense_heads import DINOHead
from mmdet.models.losses import QualityFocalLoss
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mm_vit_comer.models.co_detr.positives import PositiveBatch


@MODELS.register_module()
class CoMerCoDINOHead(DINOHead):
    """mmdet's head of DINO, which scores boxes by their overlap with objects.

    Args:
        *args: as in mmdet.
        **kwargs: as in mmdet; ``loss_cls`` is a quality focal loss, and ``nms`` in ``test_cfg`` is applied in the test.

    Raises:
        ValueError: ``loss_cls`` is another loss.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.loss_cls, QualityFocalLoss):
            raise ValueError(
                f"CoMerCoDINOHead has loss_cls={type(self.loss_cls).__name__}. Fix: dict(type='QualityFocalLoss')"
            )

    def loss_positives(
        self, hidden_states: Tensor, references: list[Tensor], batch: PositiveBatch, shapes: list[tuple[int, int]]
    ) -> dict[str, Tensor]:
        """Return the losses of all decoder layers for positives: nothing is matched, each has its object.

        Args:
            hidden_states: ``(layers, B, Q, C)``.
            references: boxes before each layer, ``(B, Q, 4)``, and those after the last.
            batch: the positives.
            shapes: each image's (height, width) in pixels.
        """
        scores, boxes = self(hidden_states, references)
        count = reduce_mean(batch.valid.sum().to(boxes.dtype)).clamp(min=1).item()
        sizes = boxes.new_tensor([[width, height, width, height] for height, width in shapes])[:, None]
        losses, last = {}, len(scores) - 1
        for i, (score, box) in enumerate(zip(scores, boxes, strict=True)):
            prefix = "" if i == last else f"d{i}."
            for name, value in self._loss_of_layer(score, box, batch, sizes, count).items():
                losses[prefix + name] = value
        return losses

    def _loss_of_layer(
        self, scores: Tensor, boxes: Tensor, batch: PositiveBatch, sizes: Tensor, count: float
    ) -> dict[str, Tensor]:
        weight = batch.valid.to(boxes.dtype)
        corners, wanted = bbox_cxcywh_to_xyxy(boxes), bbox_cxcywh_to_xyxy(batch.targets)
        overlap = bbox_overlaps(corners.detach(), wanted, is_aligned=True) * weight
        per_side = weight[..., None].expand_as(boxes).flatten(0, 1)
        return {
            "loss_cls": self.loss_cls(
                scores.flatten(0, 1),
                (batch.labels.flatten(), overlap.flatten()),
                weight=weight.flatten(),
                avg_factor=count,
            ),
            "loss_bbox": self.loss_bbox(boxes.flatten(0, 1), batch.targets.flatten(0, 1), per_side, avg_factor=count),
            "loss_iou": self.loss_iou(
                (corners * sizes).flatten(0, 1), (wanted * sizes).flatten(0, 1), per_side, avg_factor=count
            ),
        }

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        """Return mmdet's best ``max_per_img`` boxes after ``nms``; overlaps are the same at every scale."""
        found = super()._predict_by_feat_single(cls_score, bbox_pred, img_meta, rescale)
        nms = self.test_cfg.get("nms")
        if nms is None:
            return found
        kept, indices = batched_nms(found.bboxes, found.scores, found.labels, nms)
        return InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=found.labels[indices])
