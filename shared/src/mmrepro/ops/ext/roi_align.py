"""RoIAlign (He et al. 2017, arXiv:1703.06870): averages by torchvision's kernel, maxima through it.

Computed in float32 (float64 for float64 inputs): half precision cannot hold the coordinates of a large map. For the
same reason the positions of maxima that are kept in half precision are not coordinates but the bits of an int16, the
number of the sample along its axis of the bin. In wider types a maximum exactly at y = -1 has no gradient, as in mmcv:
-1 is also the mark of a bin without samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from mmrepro.ops.ext.roi_boxes import check_rois, check_samples, refuse

MAXIMUM, AVERAGE = range(2)
NO_SAMPLE = -1  # argmax_y and argmax_x of a bin without samples
SAMPLES_AT_ONCE = 2**24  # of some channels together, before their maxima are taken


class _Grids(NamedTuple):
    """The samples of the regions, on the map in pixels: each ``(R, 2)`` as ``(y, x)``."""

    start: Tensor
    extent: Tensor
    samples: Tensor  # of a bin, along the axis

    def coordinates(self, numbers: Tensor, axis: int) -> Tensor:
        """Return where the samples with these ``numbers`` in their bins ``(R, C, height, width)`` are along an axis."""
        bins = numbers.shape[2 + axis]
        start, extent, samples = (one[:, axis, None, None, None] for one in self)
        place = torch.arange(bins, device=numbers.device)
        place = place[:, None] if axis == 0 else place
        return start + (place * samples + numbers + 0.5) * (extent / (bins * samples))


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the pooled bilinear samples of each bin into ``output`` ``(R, C, aligned_height, aligned_width)``.

    ``input`` is ``(B, C, H, W)``, ``rois`` ``(R, 5)`` as ``(image, x1, y1, x2, y2)``. A bin has ``sampling_ratio**2``
    samples, or one per pixel that it spans where that is 0. ``pool_mode`` 1 averages; 0 takes the maximum and writes
    its position, in pixels (numbers in half precision: see above), into ``argmax_y`` and ``argmax_x``, shaped as
    ``output``. With ``aligned``, pixel centres are at half integers; without, a region is at least one pixel wide and
    high. Bins without samples get 0, and -1 as position (mmcv's maximum over nothing is -10000 on the CPU, -3e38 on
    CUDA). A ``ValueError`` names rois that cannot be pooled, those with more samples than memory holds, and an unknown
    mode.
    """
    _check(rois, input.shape, pool_mode, aligned)
    dtype = torch.promote_types(input.dtype, torch.float32)
    features, regions, size = input.to(dtype), rois.to(dtype), (aligned_height, aligned_width)
    grids = _grids(regions, size, spatial_scale, sampling_ratio, pool_mode, aligned)
    if pool_mode == AVERAGE:
        pooled = torch.ops.torchvision.roi_align(features, regions, spatial_scale, *size, sampling_ratio, aligned)
        output.copy_(pooled)
        return
    output.zero_()
    buffers = _bits(argmax_y), _bits(argmax_x)
    for buffer in buffers:
        buffer.fill_(NO_SAMPLE)
    samples, channels = grids.samples, input.shape[1]
    for grid in samples[(samples > 0).all(dim=1)].unique(dim=0).tolist():
        of_grid = (samples == samples.new_tensor(grid)).all(dim=1).nonzero().squeeze(1)
        at_once = max(1, SAMPLES_AT_ONCE // (aligned_height * aligned_width * grid[0] * grid[1] + 1))  # planes
        for rows in of_grid.split(max(1, at_once // max(1, channels))):
            of_rows = _Grids(*(one[rows] for one in grids))
            for first in range(0, channels, at_once):
                part = slice(first, first + at_once)
                highest, numbers = _maxima(features[:, part], regions[rows], size, grid, spatial_scale, aligned)
                output[rows, part] = highest.to(output.dtype)
                for axis, buffer in enumerate(buffers):
                    place = of_rows.coordinates(numbers[axis], axis) if buffer.is_floating_point() else numbers[axis]
                    buffer[rows, part] = place.to(buffer.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradients of the bins, ``(R, C, aligned_height, aligned_width)``, to ``grad_input`` ``(B, C, H, W)``."""
    _check(rois, grad_input.shape, pool_mode, aligned)
    dtype = torch.promote_types(grad_input.dtype, torch.float32)
    backward = torch.ops.torchvision._roi_align_backward
    grad, regions, shape = grad_output.to(dtype), rois.to(dtype), grad_input.shape
    size = (aligned_height, aligned_width)
    grids = _grids(regions, size, spatial_scale, sampling_ratio, pool_mode, aligned)
    if pool_mode == AVERAGE:
        grad_input.add_(backward(grad, regions, spatial_scale, *size, *shape, sampling_ratio, aligned))
        return
    # Each maximum is one sample in its own channel: a region of one pixel around it, channels as images.
    positions = _bits(argmax_y), _bits(argmax_x)
    found = positions[0] != NO_SAMPLE
    channel = torch.arange(shape[1], dtype=dtype, device=grad.device)
    plane = (regions[:, :1] * shape[1] + channel)[..., None, None].expand_as(grad)
    y, x = (
        (one if one.is_floating_point() else grids.coordinates(one, axis))[found].to(dtype)
        for axis, one in enumerate(positions)
    )
    pixels = torch.stack((plane[found], x - 0.5, y - 0.5, x + 0.5, y + 0.5), dim=1)
    planes = (shape[0] * shape[1], 1, *shape[2:])
    grad = backward(grad[found].view(-1, 1, 1, 1), pixels, 1.0, 1, 1, *planes, 1, False)
    grad_input.add_(grad.view(shape))


def _maxima(
    features: Tensor, regions: Tensor, size: tuple[int, int], grid: list[int], spatial_scale: float, aligned: bool
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the largest of each bin's ``grid`` of samples, and the numbers of its row and column in the bin.

    All three are ``(R, C, *size)``.
    """
    # bins as fine as the samples, one sample in each
    fine = (size[0] * grid[0], size[1] * grid[1])
    values = torch.ops.torchvision.roi_align(features, regions, spatial_scale, *fine, 1, aligned)
    values = values.view(*values.shape[:2], size[0], grid[0], size[1], grid[1])
    highest, at = values.transpose(3, 4).flatten(4).max(dim=4)
    return highest, (at // grid[1], at % grid[1])


def _bits(positions: Tensor) -> Tensor:
    """Return the buffer as it is used: half precision, too coarse for coordinates, as int16."""
    return positions.view(torch.int16) if positions.dtype in (torch.float16, torch.bfloat16) else positions


def _check(rois: Tensor, shape: torch.Size, pool_mode: int, aligned: bool) -> None:
    if pool_mode not in (MAXIMUM, AVERAGE):
        raise ValueError(f"pool_mode is 0 (maximum) or 1 (average), not {pool_mode}")
    check_rois(rois, shape[0], *shape[2:])
    if aligned and rois.device.type == "cpu":
        refuse(rois, (rois[:, 3:] < rois[:, 1:3]).any(dim=1), "ends before it starts")


def _grids(
    regions: Tensor, size: tuple[int, int], spatial_scale: float, sampling_ratio: int, pool_mode: int, aligned: bool
) -> _Grids:
    x1, y1, x2, y2 = (regions[:, 1:] * spatial_scale).unbind(1)
    start, extent = torch.stack((y1, x1), dim=1), torch.stack((y2 - y1, x2 - x1), dim=1)
    start, extent = (start - 0.5, extent) if aligned else (start, extent.clamp(min=1))
    if sampling_ratio > 0:
        samples = torch.full_like(extent, sampling_ratio)
    else:
        samples = (extent / extent.new_tensor(size)).ceil().clamp(min=0)
    if regions.device.type == "cpu" or pool_mode == MAXIMUM:  # maxima wait for the device in any case
        check_samples(regions, samples, size[0] * size[1])
    return _Grids(start, extent, samples.long())
