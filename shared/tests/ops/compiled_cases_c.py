"""Inputs on which an operator served by mmrepro and mmcv's compiled one, on the CPU, are to agree.

``CASES[name](generator)`` returns the positional arguments, output buffers included. Both operators are run on copies
of them; then all tensors among the arguments, and what is returned, are compared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Case = Callable[[torch.Generator], tuple]


def _boxes(generator: torch.Generator, count: int, size: float = 60.0) -> Tensor:
    corner = torch.rand(count, 2, generator=generator) * size
    return torch.cat((corner, corner + torch.rand(count, 2, generator=generator) * size / 2), dim=1)


def _scores(generator: torch.Generator, count: int) -> Tensor:
    """Different scores: mmcv's order among equal ones is that of PyTorch's unstable sort on the machine at hand."""
    return (torch.randperm(count, generator=generator) + 1) / (count + 1)


def _equal_scores(generator: torch.Generator, count: int) -> Tensor:
    return torch.randint(1, 40, (count,), generator=generator) / 40


def _integer(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))


def _nms(generator: torch.Generator) -> tuple:
    count = _integer(generator, 0, 60)
    boxes = _boxes(generator, count).round()  # whole pixels: overlaps of exactly the threshold occur
    return boxes, _scores(generator, count), 0.5, _integer(generator, 0, 2)


def _softnms(generator: torch.Generator) -> tuple:
    count = _integer(generator, 0, 60)
    dets = torch.zeros(count, 5)
    method, offset = _integer(generator, 0, 3), _integer(generator, 0, 2)
    return _boxes(generator, count), _equal_scores(generator, count), dets, 0.3, 0.5, 0.05, method, offset


def _nms_match(generator: torch.Generator) -> tuple:
    count = _integer(generator, 1, 60)
    return torch.cat((_boxes(generator, count).round(), _scores(generator, count)[:, None]), dim=1), 0.5


def _bbox_overlaps(generator: torch.Generator) -> tuple:
    rows, columns, aligned = _integer(generator, 1, 9), _integer(generator, 1, 9), bool(_integer(generator, 0, 2))
    if aligned:
        columns = rows
    ious = torch.zeros(rows) if aligned else torch.zeros(rows, columns)
    first, second = _boxes(generator, rows), _boxes(generator, columns)
    return first, second, ious, _integer(generator, 0, 2), aligned, _integer(generator, 0, 2)


def _roi_align(generator: torch.Generator) -> tuple[tuple, tuple, tuple]:
    """The map, the regions, and the settings; some regions reach out of the map, which is 40 pixels wide."""
    batch, channels, regions = (_integer(generator, 1, 4) for _ in range(3))
    features = torch.randn(batch, channels, 11, 10, generator=generator)
    image = torch.randint(0, batch, (regions, 1), generator=generator)
    rois = torch.cat((image, _boxes(generator, regions) - 10), dim=1)
    size = (_integer(generator, 1, 5), _integer(generator, 1, 5))
    mode, aligned = _integer(generator, 0, 2), bool(_integer(generator, 0, 2))
    return (features, rois), size, (0.25, _integer(generator, 0, 4), mode, aligned)


def _roi_align_forward(generator: torch.Generator) -> tuple:
    (features, rois), size, settings = _roi_align(generator)
    buffer = torch.zeros(len(rois), features.shape[1], *size)
    positions = [buffer.clone() if settings[2] == 0 else torch.zeros(0) for _ in range(2)]
    return features, rois, buffer, *positions, *size, *settings


def _roi_align_backward(generator: torch.Generator) -> tuple:
    (features, rois), size, settings = _roi_align(generator)
    grad = torch.randn(len(rois), features.shape[1], *size, generator=generator)
    positions = [torch.zeros(0)] * 2
    if settings[2] == 0:
        positions = [torch.rand(grad.shape, generator=generator) * 14 - 2 for _ in range(2)]
    return grad, rois, *positions, torch.zeros_like(features), *size, *settings


def _points_in_boxes_cpu(generator: torch.Generator) -> tuple:
    boxes, points = torch.randn(6, 7, generator=generator), torch.randn(50, 3, generator=generator)
    boxes[:, 3:6] = boxes[:, 3:6].abs() * 2
    return boxes, points, torch.zeros(6, 50, dtype=torch.int32)


CASES: dict[str, Case] = {
    "nms": _nms,
    "softnms": _softnms,
    "nms_match": _nms_match,
    "bbox_overlaps": _bbox_overlaps,
    "roi_align_forward": _roi_align_forward,
    "roi_align_backward": _roi_align_backward,
    "points_in_boxes_cpu_forward": _points_in_boxes_cpu,
}
