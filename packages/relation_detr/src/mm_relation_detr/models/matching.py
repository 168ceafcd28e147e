"""Hungarian matching of all outputs of a training step at once.

The costs are those of DETR with the official epsilon (xiuqhou/Relation-DETR @ b485955, ``HungarianMatcher``) and
mmdet's own. What differs is how they are computed: for all layers of an image together, and brought to the CPU in one
transfer, where mmdet waits for the device once for every layer and image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet.models.task_modules import HungarianAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

MATCH_COSTS = (
    dict(type="FocalLossCost", alpha=0.25, gamma=2.0, eps=1e-6, weight=2.0),  # mmdet's default eps is 1e-12
    dict(type="BBoxL1Cost", box_format="xywh", weight=5.0),
    dict(type="IoUCost", iou_mode="giou", weight=2.0),
)


class Outputs(NamedTuple):
    """Predictions of some layers for the same queries.

    Attributes:
        logits: ``(K, B, N, C)``.
        boxes: ``(cx, cy, w, h)`` in [0, 1], ``(K, B, N, 4)``.
        repeat: to how many queries each target belongs.
        binary: the targets have label 0, whatever they are.
    """

    logits: Tensor
    boxes: Tensor
    repeat: int = 1
    binary: bool = False


class Pairs(NamedTuple):
    """Which query of which image has which target, for each layer; P pairs in each.

    Attributes:
        images: ``(K, P)``.
        queries: ``(K, P)``, ascending within an image.
        targets: places among the targets of all images, ``(K, P)``.
    """

    images: Tensor
    queries: Tensor
    targets: Tensor


@TASK_UTILS.register_module()
class BatchedHungarianAssigner(HungarianAssigner):
    """mmdet's assigner for all layers, images and sets of queries of a step together.

    Args:
        match_costs: configs of the costs.
    """

    def __init__(self, match_costs: Sequence[dict] = MATCH_COSTS) -> None:
        super().__init__(list(match_costs))

    @torch.no_grad()
    def assign_batch(
        self, outputs: Sequence[Outputs], targets: Sequence[InstanceData], metas: Sequence[dict]
    ) -> list[Pairs]:
        """Match each layer of each set with the targets.

        Args:
            outputs: sets of predictions, each for the same B images.
            targets: ``bboxes`` ``(x1, y1, x2, y2)`` in pixels and ``labels`` of each image.
            metas: with the ``img_shape`` of each image, (H, W) without padding.

        Returns:
            The pairs of each set. Where an image has more targets than queries, every query has one.

        Raises:
            ValueError: a cost is not finite.
        """
        costs = [
            # targets as rows: scipy turns a matrix with more rows than columns round, which costs as much as solving it
            self.cost(one, targets[image], metas[image], image).transpose(1, 2)  # (K, N, G) -> (K, G, N)
            for one in outputs
            for image in range(len(targets))
        ]
        on_cpu = torch.cat([cost.flatten() for cost in costs]).cpu().numpy()
        ends = np.cumsum([cost.numel() for cost in costs])[:-1]
        matrices = [part.reshape(cost.shape) for part, cost in zip(np.split(on_cpu, ends), costs, strict=True)]
        starts = np.cumsum([0, *(len(one) for one in targets)])
        found = []
        for number, one in enumerate(outputs):
            of_images = matrices[number * len(targets) : (number + 1) * len(targets)]
            layers = [
                [_solve(matrix[layer], one.repeat, image, starts[image]) for image, matrix in enumerate(of_images)]
                for layer in range(len(one.logits))
            ]
            found.append(np.stack([np.concatenate(layer, 1) for layer in layers], 1))  # (3, K, P)
        device = outputs[0].logits.device
        together = torch.from_numpy(np.concatenate([one.reshape(3, -1) for one in found], 1)).to(device)
        parts = together.split([one[0].size for one in found], 1)
        return [Pairs(*part.unflatten(1, one.shape[1:])) for part, one in zip(parts, found, strict=True)]

    def cost(self, outputs: Outputs, targets: InstanceData, meta: dict, image: int) -> Tensor:
        """Return what it costs to give each target of one image to each query.

        Args:
            outputs, targets, meta: see :meth:`assign_batch`.
            image: its place in the batch.

        Returns:
            ``(K, N, G)`` for G targets: each one's cost is the same for each of its repetitions.
        """
        height, width = meta["img_shape"]
        boxes, logits = outputs.boxes[:, image].float(), outputs.logits[:, image].float()
        size = boxes.new_tensor([width, height, width, height])
        pairs = dict(
            # to the costs, queries of different layers are queries
            pred_instances=InstanceData(
                scores=logits.flatten(0, 1), bboxes=bbox_cxcywh_to_xyxy(boxes.flatten(0, 1)) * size
            ),
            gt_instances=InstanceData(
                labels=torch.zeros_like(targets.labels) if outputs.binary else targets.labels,
                bboxes=targets.bboxes.float(),
            ),
            img_meta=meta,
        )
        total = sum(cost(**pairs) for cost in self.match_costs)
        return total.unflatten(0, boxes.shape[:2])


def _solve(cost: np.ndarray, repeat: int, image: int, start: int) -> np.ndarray:
    """Return the images, queries and targets ``(3, P)`` of the cheapest matching of one layer and image.

    Args:
        cost: ``(G, N)``.
        repeat: how often the list of targets is repeated.
        image: the image's place in the batch.
        start: the place of its first target among those of all images.
    """
    try:
        rows, queries = linear_sum_assignment(np.tile(cost, (repeat, 1)))
    except ValueError as error:
        raise ValueError(
            f"image {image} of the batch cannot be matched: its predictions or boxes are not finite; where training "
            "diverges, lower lr, clip gradients (officially lr 1e-4 and max_norm 0.1), or leave --amp out"
        ) from error
    order = queries.argsort()
    return np.stack([np.full_like(queries, image), queries[order], rows[order] % max(len(cost), 1) + start])
