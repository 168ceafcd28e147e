"""Sampling, grouping and interpolating points, batched and without compiled operators.

Indices are of clouds of one size each; the definitions are those of PointNet++ (arXiv 1706.02413, sections 3.2, 3.4).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_DISTANCES_AT_ONCE = 2**24  # 64 MiB of float32
_WORTH_A_TREE = 2**21  # distances of a cloud from which on a tree is faster than all of them
_SPARE = 4


@torch.no_grad()
def farthest_points(points: Tensor, count: int) -> Tensor:
    """Return indices of points that are far from each other: the first one, then always the farthest from all chosen.

    Args:
        points: ``(B, N, 3)``.
        count: how many are chosen.

    Returns:
        ``(B, count)`` int64, in the order of choice; of equally far points the one of the lower index.

    Raises:
        ValueError: ``count`` is below 1 or above the number of points.
    """
    batch, size, _ = points.shape
    if not 1 <= count <= size:
        raise ValueError(f"{count} points cannot be chosen of clouds of {size}. Fix: clouds of at least {count} points")
    planes = points.permute(2, 0, 1).contiguous()  # a sum of planes is faster than one over an axis of three
    rows = torch.arange(batch, device=points.device)
    chosen = torch.zeros(batch, count, dtype=torch.int64, device=points.device)
    nearest = points.new_full((batch, size), 1e10)
    squares, distance = torch.empty_like(planes), torch.empty_like(nearest)
    latest = chosen[:, 0]
    for number in range(1, count):
        torch.sub(planes, planes[:, rows, latest, None], out=squares).square_()
        torch.add(squares[0], squares[1], out=distance).add_(squares[2])
        torch.minimum(nearest, distance, out=nearest)
        latest = nearest.argmax(-1)
        chosen[:, number] = latest
    return chosen


@torch.no_grad()
def nearest_points(points: Tensor, centres: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the nearest points of each centre.

    Args:
        points: ``(B, N, 3)``.
        centres: ``(B, M, 3)``.
        count: how many points belong to a centre.

    Returns:
        Euclidean distances and indices, each ``(B, M, count)``, nearest first.

    Raises:
        ValueError: the clouds have fewer than ``count`` points.
    """
    batch, size, _ = points.shape
    if count > size:
        raise ValueError(
            f"clouds of {size} points have no groups of {count}. "
            "Fix: clouds of more points (SamplePoints repeats them), or a smaller group_size"
        )
    if points.device.type == "cpu" and size * centres.shape[1] >= _WORTH_A_TREE:
        return _nearest_by_trees(points, centres, count)
    rows = max(1, _DISTANCES_AT_ONCE // (batch * size))
    found = [
        # exact differences: |a|^2 + |b|^2 - 2ab loses the small ones, which decide here
        torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist").topk(count, -1, largest=False)
        for part in centres.split(rows, 1)
    ]
    return torch.cat([distance for distance, _ in found], 1), torch.cat([index for _, index in found], 1)


def _nearest_by_trees(points: Tensor, centres: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return what :func:`nearest_points` does, by a k-d tree of each cloud.

    A tree compares in float64, so it is asked for some more points, of which float32's distances choose.
    """
    from scipy.spatial import cKDTree  # half a second that small clouds do without

    asked = min(points.shape[1], count + _SPARE)
    clouds = zip(points.detach().double().numpy(), centres.detach().double().numpy(), strict=True)
    found = [cKDTree(cloud).query(places, k=[*range(1, asked + 1)])[1] for cloud, places in clouds]
    index = torch.from_numpy(np.stack(found))
    distance = (rows_of(points, index) - centres[:, :, None]).square().sum(-1).sqrt()
    nearest, order = distance.topk(count, -1, largest=False)
    return nearest, index.gather(-1, order)


def rows_of(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows of each sample that an index names.

    Args:
        values: ``(B, N, C)``.
        index: ``(B, ...)`` int64.

    Returns:
        ``(B, ..., C)``.
    """
    starts = values.shape[1] * torch.arange(len(values), device=values.device)
    flat = (index + starts.reshape(-1, *(1,) * (index.dim() - 1))).flatten()
    # whole rows at once, which gather() copies value by value
    return values.flatten(0, 1).index_select(0, flat).unflatten(0, index.shape)


def interpolate(points: Tensor, known_points: Tensor, known: Tensor) -> Tensor:
    """Return features at points, from those at the three nearest known points, weighted by inverse distances.

    Args:
        points: ``(B, N, 3)``.
        known_points: ``(B, M, 3)``; with fewer than three all of them count.
        known: ``(B, M, C)``, the features there.

    Returns:
        ``(B, N, C)``.
    """
    distance, index = nearest_points(known_points, points, min(3, known_points.shape[1]))
    weight = 1 / (distance + 1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    # one neighbour at a time: (B, N, 3, C) of a room would be gigabytes
    return sum(rows_of(known, index[..., k]) * weight[..., k, None] for k in range(index.shape[-1]))
