"""Matching and losses of ViDT and ViDT+ (arXiv 2110.03921 and 2204.07962).

After naver-ai/vidt @ a8c48b5 (``SetCriterion``). What differs is how much is computed: all levels are matched and
compared together, and the targets of masks and tokens once a step. Names of losses are mmdet's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.models.iou_aware import aligned_overlaps, iou_aware_loss
from mm_vidt.models.mask_targets import mask_crops, padded_masks
from mm_vidt.models.matching import MATCH_COSTS, LevelsHungarianAssigner, Pairs, Targets, collect_targets
from mm_vidt.models.predictions import ForMatched, Predictions
from mm_vidt.models.token_labels import Labels, first_channel, token_channels, token_label_losses, token_label_targets
from mmrepro.detection.label_range import checked_labels
from mmrepro.engine.without_autocast import without_autocast

NEEDS_MASKS = (
    "the model's mask vectors (with_vector of the bbox_head) and token labels (token_label) are trained on; to train "
    "detection alone set both to False"
)


@MODELS.register_module()
class ViDTCriterion(nn.Module):
    """The losses of all levels of a ViDT; which there are follows from what is predicted.

    Token logits have ``token_channels(num_classes, labels)`` channels (:mod:`mm_vidt.models.token_labels`). Channel 0
    is no class: it is the share of a location that any object covers.

    - ``labels="contiguous"``: labels 0 to ``num_classes - 1``, as mmdet's data sets give them; label c has channel
      c + 1, so there are ``num_classes + 1`` (81 for COCO).
    - ``labels="raw"``: labels are category ids from 1 on, as in the official code; label c has channel c, so there are
      ``num_classes`` (91 for COCO).

    Class logits have ``num_classes`` channels in either case.

    Args:
        num_classes: of the class logits.
        labels: see above.
        match_costs: mmdet's costs of the matching.
        cls_weight, bbox_weight, iou_weight: weights of the focal, L1 and GIoU losses.
        iou_aware_weight: that of the estimates of the overlap.
        vector_weight: that of the mask vectors; officially a weight of 1 and a coefficient of 3.
        token_weight: of each of the two losses of token labels.
        n_keep, mask_size: see :class:`mm_vidt.models.dct_mask_coder.DCTMaskCoder`.
        no_vector_loss_norm: divide the sum over mask vectors by the number of boxes; else their loss is a mean over
            the matched coefficients of this process.
        log_errors: add :func:`matching_errors`, which the official code logs.
    """

    def __init__(
        self,
        num_classes: int,
        labels: Labels = "contiguous",
        match_costs: Sequence[dict] = MATCH_COSTS,
        cls_weight: float = 2.0,
        bbox_weight: float = 5.0,
        iou_weight: float = 2.0,
        iou_aware_weight: float = 2.0,
        vector_weight: float = 3.0,
        token_weight: float = 2.0,
        n_keep: int = 256,
        mask_size: int = 128,
        no_vector_loss_norm: bool = False,
        log_errors: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.labels = labels
        self.num_channels = token_channels(num_classes, labels)
        self.assigner = TASK_UTILS.build(dict(type=LevelsHungarianAssigner, match_costs=match_costs))
        self.weights = {
            "loss_cls": cls_weight,
            "loss_bbox": bbox_weight,
            "loss_iou": iou_weight,
            "loss_iou_aware": iou_aware_weight,
            "loss_vector": vector_weight,
        }
        self.token_weight = token_weight
        self.mask_coder = DCTMaskCoder(mask_size, n_keep)
        self.no_vector_loss_norm = no_vector_loss_norm
        self.log_errors = log_errors

    def forward(
        self,
        predictions: Predictions,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch, computed in float32.

        Args:
            predictions: of L + 1 levels.
            batch_gt_instances: ``bboxes`` ``(x1, y1, x2, y2)`` in pixels and ``labels`` of each image; ``masks`` where
                vectors or token labels are predicted.
            batch_img_metas: with ``img_shape``, (H, W) without padding, and ``batch_input_shape``.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_iou``, ``loss_iou_aware`` and ``loss_vector`` of the last level, those
            of the others as ``d0.loss_cls``; ``loss_token_focal`` and ``loss_token_dice``. Without objects all but
            those of classes and tokens are zero times the predictions.

        Raises:
            ValueError: labels that the model has no class for, missing masks, or predictions that are not finite.
        """
        with without_autocast(predictions.logits):
            return self._losses(predictions, batch_gt_instances, batch_img_metas)

    def _losses(
        self, predictions: Predictions, instances: Sequence[InstanceData], metas: Sequence[dict]
    ) -> dict[str, Tensor]:
        with_tokens, with_vectors = predictions.tokens is not None, predictions.vectors is not None
        no_class = int(with_tokens and self.labels == "raw")  # then channel 0 is taken
        labels = checked_labels(instances, metas, self.num_classes, no_class)
        logits, boxes = predictions.logits.float(), predictions.boxes.float()
        targets = collect_targets(instances, metas)
        number = reduce_mean(boxes.new_tensor(float(sum(targets.counts)))).clamp(min=1)
        # what needs no predictions comes before the matching, which waits for the device
        vectors, of_tokens = None, {}
        if with_vectors or with_tokens:
            masks = padded_masks(instances, metas, NEEDS_MASKS, boxes.device)
            if with_vectors:
                vectors = self.mask_coder.encode(mask_crops(masks, targets.corners, self.mask_coder.mask_size))
            if with_tokens:
                of_tokens = self._token_losses([level.float() for level in predictions.tokens], masks, labels, number)
        pairs = self.assigner.match(logits, boxes, targets)
        found = {"loss_cls": class_loss(logits, targets, pairs) / number}
        found |= {name: loss / number for name, loss in box_losses(boxes, targets, pairs, predictions.ious).items()}
        if with_vectors:
            apart = (predictions.vectors[pairs.place].float() - vectors[pairs.targets]).abs()  # (L + 1, P, n_keep)
            divisor = number if self.no_vector_loss_norm else max(apart[0].numel(), 1)
            found["loss_vector"] = apart.sum((1, 2)) / divisor
        named = by_level({name: self.weights[name] * loss for name, loss in found.items()}) | of_tokens
        return named | matching_errors(logits, targets, pairs) if self.log_errors else named

    def _token_losses(
        self, tokens: Sequence[Tensor], masks: Sequence[Tensor], labels: Sequence[Sequence[int]], number: Tensor
    ) -> dict[str, Tensor]:
        if tokens[0].shape[-1] != self.num_channels:
            raise ValueError(
                f"token logits have {tokens[0].shape[-1]} channels; with num_classes={self.num_classes} and "
                f"labels={self.labels!r} there are {self.num_channels}"
            )
        first = first_channel(self.labels)
        channels = [[first + label for label in of_image] for of_image in labels]
        sizes = [tuple(level.shape[1:3]) for level in tokens]
        wanted = token_label_targets(masks, channels, sizes, self.num_channels)
        focal, dice = token_label_losses(tokens, wanted)
        weight = self.token_weight / number
        return {"loss_token_focal": weight * focal, "loss_token_dice": weight * dice}


def by_level(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the entries of losses ``(L + 1,)`` as mmdet does: the last as it is, the others ``d0.`` and so on."""
    return {
        name if level == len(values) - 1 else f"d{level}.{name}": values[level]
        for name, values in losses.items()
        for level in range(len(values))
    }


@torch.no_grad()
def matching_errors(logits: Tensor, targets: Targets, pairs: Pairs) -> dict[str, Tensor]:
    """Return what the official code logs beside the losses and does not train on.

    Args:
        logits: ``(L + 1, B, N, channels)``.
        targets, pairs: of the batch.

    Returns:
        ``class_error``, the per cent of the last level's matched queries with another best class, 100 without any; and
        by level ``cardinality_error``, by how many the queries whose best channel is not the last differ from the
        objects. The last channel is the background of a softmax; with sigmoids officially, too, it is counted so.
    """
    best = logits.argmax(-1)  # (L + 1, B, N)
    counts = best.new_tensor(targets.counts)
    apart = ((best != logits.shape[-1] - 1).sum(-1) - counts).abs().float().mean(-1)
    hits = best[pairs.place][-1] == targets.labels[pairs.targets[-1]]
    return by_level({"cardinality_error": apart}) | {"class_error": 100 - 100 * hits.sum() / max(len(hits), 1)}


def class_loss(logits: Tensor, targets: Targets, pairs: Pairs) -> Tensor:
    """Return the focal loss of each level, summed over images, queries and classes, ``(L + 1,)``.

    torchvision's is DETR's formula on any device; mmdet's needs an operator of mmcv on a GPU, which waits for it.

    Args:
        logits: ``(L + 1, B, N, classes)``.
        targets, pairs: of the batch; queries without a target have no class.
    """
    wanted = torch.zeros_like(logits)
    wanted[(*pairs.place, targets.labels[pairs.targets])] = 1
    return sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2.0).sum((1, 2, 3))


def box_losses(
    boxes: Tensor, targets: Targets, pairs: Pairs, ious: Tensor | ForMatched | None = None
) -> dict[str, Tensor]:
    """Return the losses of matched boxes, each summed over a level, ``(L + 1,)``.

    Args:
        boxes: ``(cx, cy, w, h)`` in parts of the image, ``(L + 1, B, N, 4)``.
        targets, pairs: of the batch.
        ious: logits of estimated overlaps, ``(L + 1, B, N, 1)``.

    Returns:
        ``loss_bbox`` (L1 in parts of the image), ``loss_iou`` (GIoU), and ``loss_iou_aware`` if there are estimates.
    """
    chosen = boxes[pairs.place]  # (L + 1, P, 4)
    corners, wanted = bbox_cxcywh_to_xyxy(chosen) * targets.sizes[pairs.images], targets.corners[pairs.targets]
    losses = {
        "loss_bbox": (chosen - targets.boxes[pairs.targets]).abs().sum((1, 2)),
        "loss_iou": (1 - aligned_overlaps(corners, wanted, "giou")).sum(1),
    }
    if ious is not None:
        overlaps = aligned_overlaps(corners, wanted, "iou")
        losses["loss_iou_aware"] = iou_aware_loss(ious[pairs.place].float()[..., 0], overlaps).sum(1)
    return losses
