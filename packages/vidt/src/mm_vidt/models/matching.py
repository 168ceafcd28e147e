"""Hungarian matching of all levels of a training step at once (ViDT, arXiv 2110.03921).

The costs are mmdet's with the official epsilon (naver-ai/vidt @ a8c48b5, ``HungarianMatcher``). Officially the matrix
of a level spans all images, although each image is solved alone, and the device is waited for once a level. Here each
image has its own block, with all of its levels, and all blocks cross to the CPU together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet.models.task_modules import FocalLossCost, HungarianAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

BOX_COSTS = (
    dict(type="BBoxL1Cost", box_format="xywh", weight=5.0),
    dict(type="IoUCost", iou_mode="giou", weight=2.0),
)
MATCH_COSTS = (
    dict(type="FocalLossCost", alpha=0.25, gamma=2.0, eps=1e-8, weight=2.0),  # mmdet's default eps is 1e-12
    *BOX_COSTS,
)


class Targets(NamedTuple):
    """The targets of a batch, T in all of its images.

    Attributes:
        labels: ``(T,)``.
        boxes: ``(cx, cy, w, h)`` in parts of the image without padding, ``(T, 4)``.
        corners: ``(x1, y1, x2, y2)`` in pixels, ``(T, 4)``.
        sizes: width, height, width and height of each image in pixels, ``(B, 4)``.
        shapes: height and width of each image in pixels, as numbers of Python: to read those of a device is to wait.
        counts: how many each image has.
    """

    labels: Tensor
    boxes: Tensor
    corners: Tensor
    sizes: Tensor
    shapes: list[tuple[int, int]]
    counts: list[int]


class Pairs(NamedTuple):
    """Which query of which image has which target, for each level; P pairs in each.

    Attributes:
        images: ``(L, P)``.
        queries: ``(L, P)``, ascending within an image.
        targets: places among the targets of all images, ``(L, P)``.
    """

    images: Tensor
    queries: Tensor
    targets: Tensor

    @property
    def place(self) -> tuple[Tensor, Tensor, Tensor]:
        """The indices of the pairs in predictions ``(L, B, N, ...)``."""
        return torch.arange(len(self.images), device=self.images.device)[:, None], self.images, self.queries


def collect_targets(batch_gt_instances: Sequence[InstanceData], batch_img_metas: Sequence[dict]) -> Targets:
    """Collect the targets of a batch.

    Args:
        batch_gt_instances: ``bboxes`` ``(x1, y1, x2, y2)`` in pixels and ``labels`` of each image.
        batch_img_metas: with the ``img_shape`` of each image, (H, W) without padding.
    """
    corners = torch.cat([one.bboxes.float() for one in batch_gt_instances])
    counts = [len(one) for one in batch_gt_instances]
    shapes = [tuple(meta["img_shape"][:2]) for meta in batch_img_metas]
    sizes = corners.new_tensor([[width, height, width, height] for height, width in shapes])
    images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(corners.device)
    boxes = bbox_xyxy_to_cxcywh(corners / sizes[images])
    return Targets(torch.cat([one.labels for one in batch_gt_instances]), boxes, corners, sizes, shapes, counts)


@TASK_UTILS.register_module()
class LevelsHungarianAssigner(HungarianAssigner):
    """mmdet's assigner for all levels and images of a step together.

    Args:
        match_costs: configs of the costs.
    """

    def __init__(self, match_costs: Sequence[dict] = MATCH_COSTS) -> None:
        super().__init__([dict(cost) for cost in match_costs])

    @torch.no_grad()
    def match(self, logits: Tensor, boxes: Tensor, targets: Targets) -> Pairs:
        """Match each level of each image with the image's targets.

        Args:
            logits: ``(L, B, N, classes)``.
            boxes: ``(cx, cy, w, h)`` in parts of the image without padding, ``(L, B, N, 4)``.
            targets: of the B images.

        Returns:
            The pairs. Where an image has more targets than queries, every query has one.

        Raises:
            ValueError: a cost is not finite.
        """
        levels, starts = len(logits), np.cumsum([0, *targets.counts])
        costs = [self.cost(logits[:, image], boxes[:, image], targets, image) for image in range(logits.shape[1])]
        on_cpu = torch.cat([cost.flatten() for cost in costs]).cpu().numpy()
        ends = np.cumsum([cost.numel() for cost in costs])[:-1]
        matrices = [part.reshape(cost.shape) for part, cost in zip(np.split(on_cpu, ends), costs, strict=True)]
        found = [
            np.concatenate([_solve(matrix[level], image, starts[image]) for image, matrix in enumerate(matrices)], 1)
            for level in range(levels)
        ]
        return Pairs(*torch.from_numpy(np.stack(found, 1)).to(logits.device))  # (3, L, P)

    def cost(self, logits: Tensor, boxes: Tensor, targets: Targets, image: int) -> Tensor:
        """Return what it costs to give each query of an image each of its targets.

        Args:
            logits: of the image, ``(L, N, classes)``.
            boxes: of the image, ``(L, N, 4)``.
            targets: of all images.
            image: its place in the batch.

        Returns:
            ``(L, G, N)`` for G targets: with targets as columns scipy would turn the matrix round itself.
        """
        start = sum(targets.counts[:image])
        of_image = slice(start, start + targets.counts[image])
        labels, size = targets.labels[of_image], targets.sizes[image]
        scores = logits.float().flatten(0, 1)  # to the costs, queries of different levels are queries
        guess = InstanceData(bboxes=bbox_cxcywh_to_xyxy(boxes.float().flatten(0, 1)) * size)
        wanted = InstanceData(bboxes=targets.corners[of_image])
        meta = dict(img_shape=targets.shapes[image])
        total = 0
        for cost in self.match_costs:
            if isinstance(cost, FocalLossCost):  # it looks at each class alone: those of the targets are enough
                guess.scores, wanted.labels = scores[:, labels], torch.arange(len(labels), device=labels.device)
            else:
                guess.scores, wanted.labels = scores, labels
            total = total + cost(guess, wanted, meta)
        return total.unflatten(0, logits.shape[:2]).transpose(1, 2)


def _solve(cost: np.ndarray, image: int, start: int) -> np.ndarray:
    """Return the images, queries and targets ``(3, P)`` of the cheapest matching of one level and image.

    Args:
        cost: ``(G, N)``.
        image: the image's place in the batch.
        start: the place of its first target among those of all images.
    """
    try:
        rows, queries = linear_sum_assignment(cost)
    except ValueError as error:
        raise ValueError(
            f"image {image} of the batch cannot be matched: its predictions or boxes are not finite; where training "
            "diverges, lower lr, clip gradients (officially lr 1e-4 and max_norm 0.1), or leave --amp out"
        ) from error
    order = queries.argsort()
    return np.stack([np.full_like(queries, image), queries[order], rows[order] + start])
