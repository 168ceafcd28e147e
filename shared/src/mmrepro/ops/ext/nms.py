"""Non-maximum suppression of axis-aligned boxes: greedy, soft (Bodla et al. 2017, arXiv:1704.04503) and grouping.

Greedy suppression is torchvision's kernel. The other two run on the host, as in mmcv, which has no kernel of them for
CUDA either: one step per kept box, all remaining boxes at once. The rules for thresholds, NaN and, in soft-NMS, the
order among equal scores are those of ``mmcv/ops/csrc/pytorch/cpu/nms.cpp``.
"""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

NAIVE, LINEAR, GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices ``(K,)`` of the boxes that no better kept box overlaps by more than ``iou_threshold``.

    ``boxes`` is ``(N, 4)`` as ``(x1, y1, x2, y2)``, ``scores`` ``(N,)``; the best score comes first, and the lower
    index among equal scores, whose order in mmcv is that of an unstable sort. Widths and heights are
    ``x2 - x1 + offset``. NaN counts as the best score.
    """
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.int64, device=boxes.device)
    dtype = _computed_in(torch.promote_types(boxes.dtype, scores.dtype))
    corners = boxes.to(dtype)
    if offset:  # moving the second corners lengthens boxes and intersections alike
        corners = torch.cat((corners[:, :2], corners[:, 2:] + offset), dim=1)
    # mmcv's threshold is a float32: an IoU of exactly 0.7 in float32 is not above it, but it is below the Python 0.7.
    return torchvision.ops.nms(corners, scores.to(dtype), float(np.float32(iou_threshold)))


@np.errstate(all="ignore")  # infinities and NaN pass through, as in compiled code
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of overlapped boxes; write the kept ones into ``dets`` and return their indices ``(K,)``.

    ``boxes`` is ``(N, 4)``, ``scores`` ``(N,)``; the first ``K`` rows of ``dets`` ``(N, 5)`` become the kept boxes with
    their new scores, best first. A box of overlap ``iou`` with a kept one has its score multiplied by 0 (``method`` 0)
    or ``1 - iou`` (1) where ``iou >= iou_threshold``, or by ``exp(-iou**2 / sigma)`` (2), and is dropped once the score
    is below ``min_score``. A ``ValueError`` names an unknown method and shapes that do not fit.
    """
    if method not in (NAIVE, LINEAR, GAUSSIAN):
        raise ValueError(f"method is 0 (naive), 1 (linear) or 2 (gaussian), not {method}")
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.int64, device=boxes.device)
    count = len(boxes)
    if boxes.shape != (count, 4) or scores.shape != (count,) or dets.shape[1:] != (5,) or len(dets) < count:
        raise ValueError(
            "softnms: boxes (N, 4), scores (N,) and dets (N, 5) or longer, got"
            f" {tuple(boxes.shape)}, {tuple(scores.shape)} and {tuple(dets.shape)}"
        )
    dtype = _computed_in(boxes.dtype)
    corners = boxes.detach().to("cpu", dtype).numpy()
    current = scores.detach().to("cpu", dtype).numpy().copy()
    areas = _areas(corners, offset)
    iou_threshold, sigma, min_score = (current.dtype.type(one) for one in (iou_threshold, sigma, min_score))
    order = np.arange(count, dtype=np.int64)  # the boxes as they stand: kept ones first, then those still in play
    kept = 0
    while kept < len(order):
        best = kept + _first_largest(current[order[kept:]])
        order[[kept, best]] = order[[best, kept]]
        box, rest = order[kept], order[kept + 1 :]
        iou = _overlaps(corners, areas, box, rest, offset)
        if method == GAUSSIAN:
            factor = np.exp(-(iou * iou) / sigma)
        else:
            # NaN, the overlap of two boxes without area, is not above the threshold
            factor = np.where(iou >= iou_threshold, 1 - iou if method == LINEAR else 0, 1).astype(iou.dtype)
        current[rest] *= factor
        kept += 1
        order = np.concatenate((order[:kept], _without(rest, current[rest] < min_score)))
    indices = torch.from_numpy(order)
    dets[: len(order)] = torch.from_numpy(np.column_stack((corners[order], current[order]))).to(dets)
    return indices.to(boxes.device)


@np.errstate(all="ignore")
def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return one group per kept box: its index, then those of the boxes it suppresses, each by descending score.

    ``dets`` is ``(N, 5)`` as ``(x1, y1, x2, y2, score)``. An overlap of exactly ``iou_threshold`` suppresses. A
    ``ValueError`` names another shape.
    """
    if dets.dim() != 2 or dets.shape[1] != 5:
        raise ValueError(f"nms_match: dets is (N, 5) as (x1, y1, x2, y2, score), not {tuple(dets.shape)}")
    values = dets.detach().to("cpu", _computed_in(dets.dtype))
    rest = values[:, 4].argsort(descending=True, stable=True).numpy()
    corners = values[:, :4].numpy()
    areas = _areas(corners, 0)
    groups = []
    while len(rest):
        box, rest = rest[0], rest[1:]
        matched = _overlaps(corners, areas, box, rest, 0) >= areas.dtype.type(iou_threshold)
        groups.append([int(box), *rest[matched].tolist()])
        rest = rest[~matched]
    return groups


def _computed_in(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _areas(corners: NDArray, offset: int) -> NDArray:
    return (corners[:, 2] - corners[:, 0] + offset) * (corners[:, 3] - corners[:, 1] + offset)


def _overlaps(corners: NDArray, areas: NDArray, box: int, rest: NDArray, offset: int) -> NDArray:
    """Return the IoU of one box with others; NaN where neither has an area."""
    x1, y1 = np.maximum(corners[box, :2], corners[rest, :2]).T
    x2, y2 = np.minimum(corners[box, 2:], corners[rest, 2:]).T
    intersection = np.maximum(x2 - x1 + offset, 0) * np.maximum(y2 - y1 + offset, 0)
    return intersection / (areas[box] + areas[rest] - intersection)


def _first_largest(scores: NDArray) -> int:
    """Return where a scan for a strictly larger score ends: it passes NaN by, and does not leave a NaN it starts at."""
    if np.isnan(scores[0]):
        return 0
    return int(np.where(np.isnan(scores), -np.inf, scores).argmax())


def _without(items: NDArray, dropped: NDArray) -> NDArray:
    """Return the items that stay, each gap filled from the end: this order decides between equal scores."""
    staying = np.count_nonzero(~dropped)
    result = items[:staying].copy()
    gaps = dropped[:staying]
    result[gaps] = items[staying:][~dropped[staying:]][::-1]
    return result
