"""The loss of the depth map: a focal loss over depth bins, with more weight on objects (CaDDN's, arXiv 2502.00315).

After JihyeokKim/MonoDINO-DETR @ 65004cc (``DDNLoss``), where boxes are painted one by one with four values read from
the device each. Officially the map is taken as 37 x 37 with 80 bins to 60 m, whatever the model has; here all three
follow the model, which is the same for the published ones (``official_depth_bins`` of the criterion keeps the bins).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mm_monodino_detr.models.depth_bins import depth_bin_targets

FOREGROUND_WEIGHT = 13.0
ALPHA, GAMMA = 0.25, 2.0
SMOOTHING = 1e-6  # added to every class of the one-hot target


def painted_cells(corners: Tensor, height: int, width: int) -> Tensor:
    """Return which cells of a map each box covers, at least in part, ``(T, h, w)``.

    A box that starts left of or above the map covers nothing or a strip at the far side: officially its negative start
    is a Python slice's, which counts from the end, and trained models have seen such targets.

    Args:
        corners: (x1, y1, x2, y2) in parts of the map, ``(T, 4)``.
        height, width: of the map in cells.
    """
    scaled = corners * corners.new_tensor([width, height, width, height])
    first, last = scaled[:, :2].floor().long(), scaled[:, 2:].ceil().long()
    inside = []
    for axis, length in enumerate((width, height)):
        start, stop = (_slice_bound(edge[:, axis, None], length) for edge in (first, last))
        cells = torch.arange(length, device=corners.device)
        inside.append((cells >= start) & (cells < stop))
    columns, rows = inside
    return rows[:, :, None] & columns[:, None]


def _slice_bound(bound: Tensor, length: int) -> Tensor:
    """Return the cell that a bound of a Python slice means in a sequence of a length."""
    return torch.where(bound < 0, (bound + length).clamp(min=0), bound)


@torch.no_grad()
def depth_map_targets(
    corners: Tensor,
    depths: Tensor,
    images: Tensor,
    shape: tuple[int, int, int],
    num_depth_bins: int,
    depth_min: float,
    depth_max: float,
) -> tuple[Tensor, Tensor]:
    """Return the depth bin of each cell of a batch of maps, and whether any object covers it.

    Args:
        corners: (x1, y1, x2, y2) of T objects in parts of the map, ``(T, 4)``.
        depths: in metres, ``(T,)``.
        images: the image of each object, ``(T,)``.
        shape: images, and height and width of the map.
        num_depth_bins, depth_min, depth_max: the bins and their range in metres.

    Returns:
        The bin of the nearest object, or ``num_depth_bins``, the background, where there is none or its depth is out of
        the range; and a boolean map, ``(B, h, w)`` each.
    """
    cells = painted_cells(corners, *shape[1:])
    each = depths[:, None, None].expand_as(cells).masked_fill(~cells, torch.inf)
    nearest = depths.new_full(shape, torch.inf)
    nearest = nearest.scatter_reduce(0, images[:, None, None].expand_as(each), each, "amin")
    covered = nearest.isfinite()
    bins = depth_bin_targets(nearest.masked_fill(~covered, 0.0), num_depth_bins, depth_min, depth_max)
    return bins, covered


def depth_map_loss(logits: Tensor, targets: Tensor, covered: Tensor) -> Tensor:
    """Return the focal loss of depth bins, a weighted sum divided by the number of cells of the batch.

    Args:
        logits: of the bins and the background, ``(B, bins + 1, h, w)``.
        targets: the bin of each cell, ``(B, h, w)``.
        covered: cells of objects, which count 13 times, ``(B, h, w)``.
    """
    logarithms = logits.log_softmax(1)
    focal = -ALPHA * (1 - logarithms.exp()) ** GAMMA * logarithms
    each = focal.gather(1, targets[:, None])[:, 0] + SMOOTHING * focal.sum(1)
    return (each * (1 + (FOREGROUND_WEIGHT - 1) * covered)).sum() / max(covered.numel(), 1)
