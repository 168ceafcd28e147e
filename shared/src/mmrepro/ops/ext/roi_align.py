"""RoIAlign (He et al. 2017, arXiv:1703.06870): averages by torchvision's kernel, maxima through it.

Computed in float32 (float64 for float64 inputs): a float16 cannot hold the coordinates of a large map.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from mmrepro.ops.ext.roi_boxes import check_rois, refuse

MAXIMUM, AVERAGE = range(2)
NO_SAMPLE = -1.0  # argmax_y and argmax_x of a bin without samples
SAMPLES_AT_ONCE = 2**24  # of all channels together, before their maxima are taken


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
    its position, in pixels, into ``argmax_y`` and ``argmax_x``, shaped as ``output``. With ``aligned``, pixel centres
    are at half integers; without, a region is at least one pixel wide and high. Bins without samples get 0, and -1 as
    position (mmcv's maximum over nothing is -10000 on the CPU, -3e38 on CUDA). A ``ValueError`` names rois that cannot
    be pooled and an unknown mode.
    """
    _check(rois, input.shape, pool_mode, aligned)
    dtype = torch.promote_types(input.dtype, torch.float32)
    features, regions, size = input.to(dtype), rois.to(dtype), (aligned_height, aligned_width)
    if pool_mode == AVERAGE:
        pooled = torch.ops.torchvision.roi_align(features, regions, spatial_scale, *size, sampling_ratio, aligned)
        output.copy_(pooled)
        return
    start, extent = _placed(regions, spatial_scale, aligned)
    samples = _samples_per_bin(extent, size, sampling_ratio)
    output.zero_()
    argmax_y.fill_(NO_SAMPLE)
    argmax_x.fill_(NO_SAMPLE)
    for grid in samples[(samples > 0).all(dim=1)].unique(dim=0).tolist():
        of_grid = (samples == samples.new_tensor(grid)).all(dim=1).nonzero().squeeze(1)
        at_once = SAMPLES_AT_ONCE // (input.shape[1] * aligned_height * aligned_width * grid[0] * grid[1] + 1)
        for rows in of_grid.split(max(1, at_once)):
            highest, position = _maxima(features, regions[rows], size, grid, spatial_scale, aligned)
            output[rows] = highest.to(output.dtype)
            for axis, buffer in enumerate((argmax_y, argmax_x)):
                step = extent[rows, axis] / (size[axis] * grid[axis])
                place = start[rows, axis, None, None, None] + (position[axis] + 0.5) * step[:, None, None, None]
                buffer[rows] = place.to(buffer.dtype)


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
    if pool_mode == AVERAGE:
        size = (aligned_height, aligned_width)
        grad_input.add_(backward(grad, regions, spatial_scale, *size, *shape, sampling_ratio, aligned))
        return
    # Each maximum is one sample in its own channel: a region of one pixel around it, channels as images.
    found = argmax_y != NO_SAMPLE
    channel = torch.arange(shape[1], dtype=dtype, device=grad.device)
    plane = (regions[:, :1] * shape[1] + channel)[..., None, None].expand_as(grad)
    y, x = argmax_y[found].to(dtype), argmax_x[found].to(dtype)
    pixels = torch.stack((plane[found], x - 0.5, y - 0.5, x + 0.5, y + 0.5), dim=1)
    planes = (shape[0] * shape[1], 1, *shape[2:])
    grad = backward(grad[found].view(-1, 1, 1, 1), pixels, 1.0, 1, 1, *planes, 1, False)
    grad_input.add_(grad.view(shape))


def _maxima(
    features: Tensor, regions: Tensor, size: tuple[int, int], grid: list[int], spatial_scale: float, aligned: bool
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the largest of each bin's ``grid`` of samples, and its row and column among all samples of the region.

    All three are ``(R, C, *size)``.
    """
    # bins as fine as the samples, one sample in each
    fine = (size[0] * grid[0], size[1] * grid[1])
    values = torch.ops.torchvision.roi_align(features, regions, spatial_scale, *fine, 1, aligned)
    values = values.view(*values.shape[:2], size[0], grid[0], size[1], grid[1])
    highest, at = values.transpose(3, 4).flatten(4).max(dim=4)
    row, column = (torch.arange(bins, device=at.device) * count for bins, count in zip(size, grid, strict=True))
    return highest, (row[:, None] + at // grid[1], column + at % grid[1])


def _check(rois: Tensor, shape: torch.Size, pool_mode: int, aligned: bool) -> None:
    if pool_mode not in (MAXIMUM, AVERAGE):
        raise ValueError(f"pool_mode is 0 (maximum) or 1 (average), not {pool_mode}")
    check_rois(rois, shape[0], *shape[2:])
    if aligned and rois.device.type == "cpu":
        refuse(rois, (rois[:, 3:] < rois[:, 1:3]).any(dim=1), "ends before it starts")


def _placed(regions: Tensor, spatial_scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """Return where the regions start on the map, and how far they reach, in pixels: both ``(R, 2)`` as ``(y, x)``."""
    x1, y1, x2, y2 = (regions[:, 1:] * spatial_scale).unbind(1)
    start, extent = torch.stack((y1, x1), dim=1), torch.stack((y2 - y1, x2 - x1), dim=1)
    return (start - 0.5, extent) if aligned else (start, extent.clamp(min=1))


def _samples_per_bin(extent: Tensor, size: tuple[int, int], sampling_ratio: int) -> Tensor:
    """Return the number of samples of the regions' bins, ``(R, 2)`` as ``(y, x)``."""
    if sampling_ratio > 0:
        return torch.full_like(extent, sampling_ratio, dtype=torch.int64)
    return (extent / extent.new_tensor(size)).ceil().long()
