"""Deformable attention by its definition: a loop over every sample and its four neighbours, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reference(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Return the attention ``(B, N, h*d)`` in float64; autograd differentiates it where a sample lies in its map."""
    value, locations, weights = value.double(), locations.double(), weights.double()
    batch, _, heads, channels = value.shape
    queries, points = locations.size(1), locations.size(4)
    rows = []
    for b in range(batch):
        for n in range(queries):
            for h in range(heads):
                total = value.new_zeros(channels)
                start = 0
                for level, (height, width) in enumerate(spatial_shapes.tolist()):
                    plane = value[b, start : start + height * width, h]
                    for p in range(points):
                        sample = bilinear(plane, height, width, locations[b, n, h, level, p])
                        total = total + weights[b, n, h, level, p] * sample
                    start += height * width
                rows.append(total)
    return (
        torch.stack(rows).view(batch, queries, heads * channels)
        if rows
        else value.new_zeros(batch, queries, heads * channels)
    )


def bilinear(plane: Tensor, height: int, width: int, location: Tensor) -> Tensor:
    """Return one sample ``(d,)`` of a map ``(H*W, d)`` at a location ``(x, y)``."""
    sample = plane.new_zeros(plane.size(1))
    x, y = location[0] * width - 0.5, location[1] * height - 0.5
    if not (-1 <= x <= width and -1 <= y <= height):  # NaN too: nothing is seen from there
        return sample
    left, top = math.floor(x.detach()), math.floor(y.detach())
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_weight in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                sample = sample + row_weight * column_weight * plane[row * width + column]
    return sample
