"""Matching and losses of MonoDINO-DETR (arXiv 2502.00315).

After JihyeokKim/MonoDINO-DETR @ 65004cc (``SetCriterion``). What differs is how much is computed: all layers are
matched and compared together. Names of losses are mmdet's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from mm_monodino_detr.models.depth_map_loss import depth_map_loss, depth_map_targets
from mm_monodino_detr.models.group_matching import TINY_AREA, GroupHungarian3DAssigner, Pairs, Targets, collect_targets
from mm_monodino_detr.models.heading_bins import NUM_BINS
from mm_monodino_detr.models.predictions import Predictions, box_corners
from mmrepro.detection.label_range import checked_labels
from mmrepro.engine.without_autocast import without_autocast

LAPLACE = 1.4142  # officially this and not the root of two
OFFICIAL_DEPTH_BINS = (80, 1e-3, 60.0)  # and where they begin and end in metres


@MODELS.register_module()
class MonoDETRCriterion(nn.Module):
    """The losses of all decoder layers, and of the depth map.

    In training the queries are ``group_num`` groups and each group is matched with all objects; in evaluation mode
    there is one group.

    Args:
        num_classes: of the class logits, for labels from 0. Officially one more than there are labels: the fourth is
            nobody's.
        group_num: groups of queries in training.
        num_depth_bins, depth_min, depth_max: the depth predictor's bins and their range in metres. Objects beyond the
            range are background in the depth map, as officially those between 60 m and the 65 m of the data.
        official_depth_bins: the depth map is trained with 80 bins up to 60 m whatever the predictor has, as officially:
            one with more bins learns wrong depths, and bin 80 as the background. Without a difference for the published
            models, which have these bins.
        assigner: config of the matching.
        cls_weight, bbox_weight, iou_weight, center_weight, depth_weight, dim_weight, angle_weight, depth_map_weight:
            weights of the losses.
        log_errors: add :func:`matching_errors`, which the official code logs.
    """

    def __init__(
        self,
        num_classes: int,
        group_num: int = 11,
        num_depth_bins: int = 80,
        depth_min: float = 1e-3,
        depth_max: float = 60.0,
        official_depth_bins: bool = False,
        assigner: dict | None = None,
        cls_weight: float = 2.0,
        bbox_weight: float = 5.0,
        iou_weight: float = 2.0,
        center_weight: float = 10.0,
        depth_weight: float = 1.0,
        dim_weight: float = 1.0,
        angle_weight: float = 1.0,
        depth_map_weight: float = 1.0,
        log_errors: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes, self.group_num = num_classes, group_num
        self.official_depth_bins = official_depth_bins
        bins = OFFICIAL_DEPTH_BINS if official_depth_bins else (num_depth_bins, depth_min, depth_max)
        self.num_depth_bins, self.depth_min, self.depth_max = bins
        self.assigner = TASK_UTILS.build({"type": GroupHungarian3DAssigner, **(assigner or {})})
        self.weights = {
            "loss_cls": cls_weight,
            "loss_bbox": bbox_weight,
            "loss_iou": iou_weight,
            "loss_center": center_weight,
            "loss_depth": depth_weight,
            "loss_dim": dim_weight,
            "loss_angle": angle_weight,
        }
        self.depth_map_weight = depth_map_weight
        self.log_errors = log_errors

    @property
    def groups(self) -> int:
        """How many groups the queries are in this mode."""
        return self.group_num if self.training else 1

    def forward(
        self,
        predictions: Predictions,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch, computed in float32.

        Args:
            predictions: of L layers.
            batch_gt_instances: see :func:`mm_monodino_detr.models.group_matching.collect_targets`.
            batch_img_metas: ``img_path`` is named in errors.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_iou``, ``loss_center``, ``loss_depth``, ``loss_dim`` and ``loss_angle``
            of the last layer, those of the others as ``d0.loss_cls``, and ``loss_depth_map``. Without objects all but
            those of classes and the depth map are zero times the predictions.

        Raises:
            ValueError: labels that the model has no class for, missing fields, queries that are no whole number of
                groups, a depth map of other bins, or predictions that are not finite.
        """
        with without_autocast(predictions.logits):
            return self._losses(predictions, batch_gt_instances, batch_img_metas)

    def _losses(
        self, predictions: Predictions, instances: Sequence[InstanceData], metas: Sequence[dict]
    ) -> dict[str, Tensor]:
        targets = collect_targets(instances)
        checked_labels(instances, metas, self.num_classes)
        # what needs no pairs comes before the matching, which waits for the device
        of_map = self.depth_map_weight * self.map_loss(predictions.depth_map_logits.float(), targets)
        number = reduce_mean(of_map.new_tensor(float(sum(targets.counts) * self.groups))).clamp(min=1)
        pairs = self.assigner.match(predictions, targets, self.groups)
        place, wanted = pairs.place, pairs.targets
        found = {
            "loss_cls": class_loss(predictions.logits.float(), targets, pairs),
            **box_losses(predictions.boxes[place].float(), targets.boxes_3d[wanted]),
            "loss_depth": depth_loss(predictions.depths[place].float(), targets.depths[wanted]),
            "loss_dim": dim_loss(predictions.dims[place].float(), targets.sizes[wanted]),
            "loss_angle": angle_loss(
                predictions.angles[place].float(), targets.heading_bins[wanted], targets.heading_residuals[wanted]
            ),
        }
        named = by_layer({name: self.weights[name] * loss / number for name, loss in found.items()})
        named["loss_depth_map"] = of_map
        return named | matching_errors(predictions.logits, targets, pairs) if self.log_errors else named

    def map_loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the loss of a depth map without its weight.

        Args:
            logits: ``(B, bins + 1, h, w)``.
            targets: of the batch.
        """
        count, classes, height, width = logits.shape
        if self.official_depth_bins and classes <= self.num_depth_bins:
            raise ValueError(
                f"the depth map has {classes} classes, but official_depth_bins needs at least "
                f"{self.num_depth_bins + 1}; leave it out, so that the loss follows the depth predictor"
            )
        if not self.official_depth_bins and classes != self.num_depth_bins + 1:
            raise ValueError(
                f"the depth map has {classes} classes, but {self.num_depth_bins} bins and the background are "
                f"{self.num_depth_bins + 1}; set num_depth_bins of the bbox_head to the depth predictor's"
            )
        bins, covered = depth_map_targets(
            targets.corners,
            targets.depths,
            targets.images,
            (count, height, width),
            self.num_depth_bins,
            self.depth_min,
            self.depth_max,
        )
        return depth_map_loss(logits, bins, covered)


def by_layer(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the entries of losses ``(L,)`` as mmdet does: the last as it is, the others ``d0.`` and so on."""
    return {
        name if layer == len(values) - 1 else f"d{layer}.{name}": values[layer]
        for name, values in losses.items()
        for layer in range(len(values))
    }


@torch.no_grad()
def matching_errors(logits: Tensor, targets: Targets, pairs: Pairs) -> dict[str, Tensor]:
    """Return what the official code logs beside the losses and does not train on.

    Args:
        logits: ``(L, B, N, K)``.
        targets, pairs: of the batch.

    Returns:
        ``class_error``, the per cent of the last layer's matched queries with another best class, 100 without any; and
        by layer ``cardinality_error``, by how many the queries whose best class is not the last differ from the
        objects. The last class is the background of a softmax; with sigmoids officially, too, it is counted so.
    """
    best = logits.argmax(-1)  # (L, B, N)
    counts = best.new_tensor(targets.counts)
    apart = ((best != logits.shape[-1] - 1).sum(-1) - counts).abs().float().mean(-1)
    hits = best[pairs.place][-1] == targets.labels[pairs.targets[-1]]
    return by_layer({"cardinality_error": apart}) | {"class_error": 100 - 100 * hits.sum() / max(len(hits), 1)}


def class_loss(logits: Tensor, targets: Targets, pairs: Pairs) -> Tensor:
    """Return the focal loss of each layer, summed over images, queries and classes, ``(L,)``.

    torchvision's is DETR's formula on any device; mmdet's needs an operator of mmcv on a GPU, which waits for it.

    Args:
        logits: ``(L, B, N, K)``.
        targets, pairs: of the batch; queries without an object have no class.
    """
    wanted = torch.zeros_like(logits)
    wanted[(*pairs.place, targets.labels[pairs.targets])] = 1
    return sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2.0).sum((1, 2, 3))


def box_losses(boxes: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Return the losses of matched boxes, each summed over a layer, ``(L,)``.

    Args:
        boxes: predicted (cx, cy, l, r, t, b) in parts of the network's input, ``(L, P, 6)``.
        wanted: of the same shape.

    Returns:
        ``loss_center`` (L1 of the projected 3D centre), ``loss_bbox`` (L1 of l, r, t and b) and ``loss_iou`` (GIoU of
        the 2D boxes that they make).
    """
    apart = (boxes - wanted).abs()
    corners, of_objects = box_corners(boxes).flatten(0, 1), box_corners(wanted).flatten(0, 1)
    overlaps = bbox_overlaps(corners, of_objects, mode="giou", is_aligned=True, eps=TINY_AREA)
    return {
        "loss_center": apart[..., :2].sum((1, 2)),
        "loss_bbox": apart[..., 2:].sum((1, 2)),
        "loss_iou": (1 - overlaps.view(apart.shape[:2])).sum(1),
    }


def depth_loss(depths: Tensor, wanted: Tensor) -> Tensor:
    """Return the Laplacian loss of matched depths, summed over a layer, ``(L,)``.

    Args:
        depths: in metres, with the logarithm of their variance, ``(L, P, 2)``.
        wanted: in metres, ``(L, P)``.
    """
    depth, log_variance = depths.unbind(-1)
    return (LAPLACE * (-log_variance).exp() * (depth - wanted).abs() + log_variance).sum(1)


def dim_loss(dims: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss of matched sizes, relative to the objects', summed over a layer, ``(L,)``.

    It is scaled so that its mean is that of the plain distance; the scale has no gradient.

    Args:
        dims: height, width and length in metres, ``(L, P, 3)``.
        wanted: of the same shape.
    """
    apart = (dims - wanted).abs()
    relative = apart / wanted
    with torch.no_grad():
        # a sum for a mean: the number of pairs is the same; where nothing is apart, or there is no pair, no scale is
        scale = apart.sum((1, 2)) / relative.sum((1, 2)).clamp(min=torch.finfo(relative.dtype).tiny)
    return relative.sum((1, 2)) * scale


def angle_loss(angles: Tensor, bins: Tensor, residuals: Tensor) -> Tensor:
    """Return the cross entropy of heading bins and the L1 distance of the residuals, summed over a layer, ``(L,)``.

    Args:
        angles: 12 logits and 12 residuals in radians, ``(L, P, 24)``.
        bins: of the objects, ``(L, P)``; of the residuals only theirs count.
        residuals: of the objects in radians, ``(L, P)``.
    """
    logits, predicted = angles.split(NUM_BINS, -1)
    entropy = F.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none").view(bins.shape)
    return (entropy + (predicted.gather(-1, bins[..., None])[..., 0] - residuals).abs()).sum(1)
