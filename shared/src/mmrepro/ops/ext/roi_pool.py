"""RoI max pooling (Girshick 2015, arXiv:1504.08083) with mmcv's bins.

torchvision rounds a region to whole pixels before it divides it; mmcv divides first. The bins are therefore computed
here, and torchvision's kernel is given each of them as a region of its own.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from mmrepro.ops.ext.roi_boxes import check_rois


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the maximum of each bin into ``output`` ``(R, C, pooled_height, pooled_width)``.

    ``input`` is ``(B, C, H, W)``, ``rois`` ``(R, 5)`` as ``(image, x1, y1, x2, y2)``, the last pixel included.
    ``argmax``, shaped as ``output``, becomes the pixel ``y * W + x`` of the maximum. Bins outside of the map, and those
    of a region without area, get 0 and -1. A ``ValueError`` names rois that cannot be pooled.
    """
    batch, channels, height, width = input.shape
    check_rois(rois, batch, height, width)
    dtype = torch.promote_types(input.dtype, torch.float32)
    regions = rois.to(dtype)
    start, end = regions[:, 1:3] * spatial_scale, (regions[:, 3:5] + 1) * spatial_scale  # (R, 2) as (x, y)
    x1, x2 = _bins(start[:, 0], end[:, 0], pooled_width, width)
    y1, y2 = _bins(start[:, 1], end[:, 1], pooled_height, height)
    # torchvision's regions include their last pixel
    corners = torch.broadcast_tensors(x1[:, None, :], y1[:, :, None], x2[:, None, :] - 1, y2[:, :, None] - 1)
    image = regions[:, :1, None].expand_as(corners[0])
    bins = torch.stack((image, *corners), dim=-1)  # (R, pooled_height, pooled_width, 5)
    empty = (bins[..., 3] < bins[..., 1]) | (bins[..., 4] < bins[..., 2]) | (end <= start).any(1)[:, None, None]
    bins = torch.where(empty[..., None], image.new_zeros(()), bins)  # any region of the map: its result is dropped
    highest, pixel = torch.ops.torchvision.roi_pool(input.to(dtype), bins.view(-1, 5), 1.0, 1, 1)
    shape = (*empty.shape, channels)
    output.copy_(highest.view(shape).masked_fill(empty[..., None], 0).permute(0, 3, 1, 2))
    argmax.copy_(pixel.view(shape).masked_fill(empty[..., None], -1).permute(0, 3, 1, 2))


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradients of the maxima, ``(R, C, pooled_height, pooled_width)``, to their pixels of ``grad_input``."""
    check_rois(rois, len(grad_input), *grad_input.shape[2:])
    dtype = torch.promote_types(grad_input.dtype, torch.float32)
    grad = torch.ops.torchvision._roi_pool_backward(
        grad_output.to(dtype), rois.to(dtype), argmax, spatial_scale, pooled_height, pooled_width, *grad_input.shape
    )
    grad_input.add_(grad)


def _bins(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel of each bin, and the one after its last, within ``size`` pixels: both ``(R, bins)``."""
    edge = torch.arange(bins + 1, dtype=start.dtype, device=start.device)
    edges = edge * ((end - start) / bins)[:, None] + start[:, None]  # (R, bins + 1)
    return edges[:, :-1].floor().clamp(0, size), edges[:, 1:].ceil().clamp(0, size)
