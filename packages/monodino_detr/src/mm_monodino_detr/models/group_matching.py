"""Hungarian matching of groups of queries with 3D objects (MonoDETR's group matching, arXiv 2502.00315).

After JihyeokKim/MonoDINO-DETR @ 65004cc (``HungarianMatcher``). Officially the matrix of a layer spans all images,
although each image is solved alone, and the device is waited for once a layer. Here each image has its own block with
all of its layers, and all blocks cross to the CPU together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mm_monodino_detr.models.predictions import Predictions, box_corners

FIELDS = ("labels", "boxes", "boxes_3d", "depth", "size_3d", "heading_bin", "heading_res")
TINY_AREA = 1e-12  # mmdet's 1e-6 is half a pixel of a picture in parts of its sides; officially areas have no floor


class Targets(NamedTuple):
    """The objects of a batch, T in all of its images; coordinates are in parts of the network's input.

    Attributes:
        labels: ``(T,)``.
        boxes: the annotated 2D boxes (cx, cy, w, h), ``(T, 4)``.
        boxes_3d: projected centres and distances to the 2D box's sides, (cx, cy, l, r, t, b), ``(T, 6)``.
        depths: in metres, ``(T,)``.
        sizes: height, width and length in metres, ``(T, 3)``.
        heading_bins: ``(T,)``.
        heading_residuals: in radians, ``(T,)``.
        counts: how many each image has.
    """

    labels: Tensor
    boxes: Tensor
    boxes_3d: Tensor
    depths: Tensor
    sizes: Tensor
    heading_bins: Tensor
    heading_residuals: Tensor
    counts: list[int]

    @property
    def images(self) -> Tensor:
        """The image of each object, ``(T,)``."""
        counts = torch.tensor(self.counts, dtype=torch.long)
        return torch.arange(len(self.counts)).repeat_interleave(counts).to(self.labels.device)

    @property
    def corners(self) -> Tensor:
        """The corners (x1, y1, x2, y2) of the annotated 2D boxes, ``(T, 4)``."""
        return bbox_cxcywh_to_xyxy(self.boxes)


class Pairs(NamedTuple):
    """Which query of which image has which object, for each layer; P pairs in each.

    They stand image by image, group by group, by query.

    Attributes:
        images: ``(L, P)``.
        queries: ``(L, P)``.
        targets: places among the objects of all images, ``(L, P)``.
    """

    images: Tensor
    queries: Tensor
    targets: Tensor

    @property
    def place(self) -> tuple[Tensor, Tensor, Tensor]:
        """The indices of the pairs in predictions ``(L, B, N, ...)``."""
        return torch.arange(len(self.images), device=self.images.device)[:, None], self.images, self.queries


def collect_targets(batch_gt_instances: Sequence[InstanceData]) -> Targets:
    """Collect the objects of a batch.

    Args:
        batch_gt_instances: of each image ``labels`` ``(T,)``, ``boxes`` ``(T, 4)``, ``boxes_3d`` ``(T, 6)``, ``depth``
            ``(T,)``, ``size_3d`` ``(T, 3)``, ``heading_bin`` ``(T,)`` and ``heading_res`` ``(T,)``; see
            :class:`Targets`.

    Raises:
        ValueError: a field is missing.
    """
    for one in batch_gt_instances:
        missing = [name for name in FIELDS if name not in one]
        if missing:
            raise ValueError(
                f"gt_instances have no {', '.join(missing)}; the training pipeline needs LoadKittiAnnotations3D, "
                "KittiFlipCropAffine and PackMono3DInputs"
            )
    labels, boxes, boxes_3d, depths, sizes, bins, residuals = (
        torch.cat([one[name] for one in batch_gt_instances]) for name in FIELDS
    )
    return Targets(
        labels.long(),
        boxes.float(),
        boxes_3d.float(),
        depths.float(),
        sizes.float(),
        bins.long(),
        residuals.float(),
        [len(one) for one in batch_gt_instances],
    )


def focal_cost(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return what the focal loss of each query changes by when it gets each label, ``(..., N, K)`` to ``(..., N, T)``.

    mmdet's ``FocalLossCost`` adds 1e-12 within the logarithms by default, officially it is 1e-8.
    """
    chances = logits[..., labels].sigmoid()
    positive = alpha * (1 - chances) ** gamma * -(chances + 1e-8).log()
    negative = (1 - alpha) * chances**gamma * -(1 - chances + 1e-8).log()
    return positive - negative


@TASK_UTILS.register_module()
class GroupHungarian3DAssigner:
    """Gives each object one query of each group, by the least cost, for all layers and images of a step together.

    Args:
        cls_weight: of the focal cost.
        bbox_weight: of the L1 distance of (l, r, t, b).
        center_weight: of the L1 distance of the projected 3D centre.
        iou_weight: of minus the GIoU of the 2D boxes.
    """

    def __init__(
        self,
        cls_weight: float = 2.0,
        bbox_weight: float = 5.0,
        center_weight: float = 10.0,
        iou_weight: float = 2.0,
    ) -> None:
        self.cls_weight, self.bbox_weight = cls_weight, bbox_weight
        self.center_weight, self.iou_weight = center_weight, iou_weight

    @torch.no_grad()
    def match(self, predictions: Predictions, targets: Targets, group_num: int) -> Pairs:
        """Match each group of queries of each layer and image with the image's objects.

        Args:
            predictions: ``logits`` and ``boxes`` are read.
            targets: of the B images.
            group_num: groups of consecutive queries; 1 in evaluation.

        Returns:
            The pairs. Where an image has more objects than a group has queries, every query has one.

        Raises:
            ValueError: the queries are no whole number of groups, or a cost is not finite.
        """
        logits, boxes = predictions.logits, predictions.boxes
        (layers, images, queries), starts = logits.shape[:3], np.cumsum([0, *targets.counts])
        if queries % group_num:
            raise ValueError(f"{queries} queries are no {group_num} equal groups; set group_num as in the detector")
        costs = [self.cost(logits[:, image], boxes[:, image], targets, image) for image in range(images)]
        on_cpu = torch.cat([cost.flatten() for cost in costs]).cpu().numpy()
        ends = np.cumsum([cost.numel() for cost in costs])[:-1]
        matrices = [
            part.reshape(layers, count, group_num, queries // group_num)
            for part, count in zip(np.split(on_cpu, ends), targets.counts, strict=True)
        ]
        found = [
            np.concatenate(
                [
                    _solve(matrix[layer, :, group], image, group * (queries // group_num), starts[image])
                    for image, matrix in enumerate(matrices)
                    for group in range(group_num)
                ],
                axis=1,
            )
            for layer in range(layers)
        ]
        return Pairs(*torch.from_numpy(np.stack(found, 1)).to(logits.device))  # (3, L, P)

    def cost(self, logits: Tensor, boxes: Tensor, targets: Targets, image: int) -> Tensor:
        """Return what it costs to give each query of an image each of its objects.

        Args:
            logits: of the image, ``(L, N, K)``.
            boxes: of the image, ``(L, N, 6)``.
            targets: of all images.
            image: its place in the batch.

        Returns:
            ``(L, T, N)`` for T objects: with objects as columns scipy would turn the matrix round itself.
        """
        start = sum(targets.counts[:image])
        of_image = slice(start, start + targets.counts[image])
        wanted = targets.boxes_3d[of_image].expand(len(boxes), -1, -1)
        boxes = boxes.float()
        total = (
            self.cls_weight * focal_cost(logits.float(), targets.labels[of_image])
            + self.bbox_weight * torch.cdist(boxes[..., 2:], wanted[..., 2:], p=1)
            + self.center_weight * torch.cdist(boxes[..., :2], wanted[..., :2], p=1)
            - self.iou_weight * bbox_overlaps(box_corners(boxes), box_corners(wanted), mode="giou", eps=TINY_AREA)
        )
        return total.transpose(1, 2)


def _solve(cost: np.ndarray, image: int, first: int, start: int) -> np.ndarray:
    """Return the images, queries and objects ``(3, P)`` of the cheapest matching of one layer, image and group.

    Args:
        cost: ``(T, N)``.
        image: the image's place in the batch.
        first: the group's first query.
        start: the place of the image's first object among those of all images.
    """
    try:
        rows, queries = linear_sum_assignment(cost)
    except ValueError as error:
        raise ValueError(
            f"image {image} of the batch cannot be matched: its predictions or boxes are not finite; where training "
            "diverges, lower lr, clip gradients (officially there is no clipping), or leave --amp out"
        ) from error
    order = queries.argsort()
    return np.stack([np.full_like(queries, image), queries[order] + first, rows[order] + start])
