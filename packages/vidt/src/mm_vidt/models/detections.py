"""From the predictions of a level to the detections of an image (naver-ai/vidt @ a8c48b5, ``PostProcess``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor


class Chosen(NamedTuple):
    """The best pairs of a query and a class of each image, the best first, ``(B, K)`` each."""

    scores: Tensor
    labels: Tensor
    queries: Tensor


def best_pairs(logits: Tensor, count: int) -> Chosen:
    """Choose the pairs of a query and a class with the highest scores; a query may be chosen for several classes.

    Args:
        logits: ``(B, N, classes)``.
        count: how many of an image; all of them where there are fewer.
    """
    classes = logits.size(-1)
    scores, places = logits.float().sigmoid().flatten(1).topk(min(count, logits[0].numel()))
    return Chosen(scores, places % classes, places.div(classes, rounding_mode="floor"))


def of_queries(values: Tensor, queries: Tensor) -> Tensor:
    """Return the values of chosen queries, ``(B, N, D)`` and ``(B, K)`` to ``(B, K, D)``."""
    return values.gather(1, queries[..., None].expand(-1, -1, values.size(-1)))


def to_instances(
    scores: Tensor, labels: Tensor, boxes: Tensor, sizes: Sequence[tuple[int, int]], clip: bool = False
) -> list[InstanceData]:
    """Return the detections of each image, in pixels.

    Args:
        scores, labels: ``(B, K)``.
        boxes: (cx, cy, w, h) in [0, 1], ``(B, K, 4)``.
        sizes: (height, width) in pixels of each image.
        clip: bring boxes into the image, which the official code does not.

    Returns:
        ``scores``, ``labels`` and ``bboxes`` (x1, y1, x2, y2) of each image.
    """
    corners = to_corners(boxes, sizes)
    if clip:
        corners = corners.clamp(min=0).minimum(_sides(corners, sizes))
    return [
        InstanceData(scores=one_scores, labels=one_labels, bboxes=one_corners)
        for one_scores, one_labels, one_corners in zip(scores, labels, corners, strict=True)
    ]


def to_corners(boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Return boxes in pixels, which may reach out of the image, (x1, y1, x2, y2) ``(B, K, 4)``.

    Args:
        boxes, sizes: see :func:`to_instances`.
    """
    return bbox_cxcywh_to_xyxy(boxes.float()) * _sides(boxes, sizes)


def _sides(boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    return boxes.new_tensor([[width, height] * 2 for height, width in sizes])[:, None]


def sizes_of(metas: Sequence[dict], rescale: bool) -> list[tuple[int, int]]:
    """Return the (height, width) that detections are given in: of the original image, or of the network's input."""
    return [tuple(meta["ori_shape" if rescale else "img_shape"][:2]) for meta in metas]
