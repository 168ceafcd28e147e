"""Deformable RoI pooling with the signatures of ``mmcv._ext``, in plain PyTorch.

Dai et al., arXiv:1703.06211, section 2.2: RoIAlign (pixel centres at half integers) whose bins are moved by ``gamma``
times the size of the RoI times a learned offset. A bin is the mean of bilinear samples; a sample up to one pixel
outside the image takes the value at the border, further outside it is zero.

Each bin is one bag of an ``embedding_bag`` over the pixels, whose weights are the bilinear ones: no tensor of all
samples times all channels is made. The gradients are those of this definition. mmcv's kernel has another gradient with
respect to the offset where a sample lies within one pixel outside the image (it does not clamp the position there as it
does for the value); elsewhere they are equal. Half precision is computed in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmrepro.ops.ext.roi_boxes import check_rois, check_samples

# Samples that are in memory at once, each with four weights and four int64 indices: about 100 MiB in all.
_SAMPLES = 2**20


class _Pooling(NamedTuple):
    """What a call says beside its tensors."""

    size: tuple[int, int]
    spatial_scale: float
    sampling_ratio: int
    gamma: float


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Pool ``input`` ``(B, C, H, W)`` over R RoIs into ``output`` ``(R, C, pooled_height, pooled_width)``.

    Args:
        rois: ``(R, 5)``, each the index of the image and x1, y1, x2, y2; times ``spatial_scale`` they are pixels.
        offset: ``(R, 2, pooled_height, pooled_width)``, x before y, or empty for none.
        sampling_ratio: samples of a bin along either axis; 0 takes one for each pixel that it covers, rounded up.

    Raises:
        ValueError: shapes that do not fit, an empty map, a RoI of no image of the batch (told on the CPU only, as
            elsewhere it would wait for the device) or with more samples than memory holds.
    """
    pooling = _Pooling((pooled_height, pooled_width), spatial_scale, sampling_ratio, gamma)
    _check(pooling, input, rois, offset, output)
    table = _table(input)
    rois = _checked(rois.to(table.dtype), input.shape)
    for part, counts in _parts(pooling, rois):
        moved = offset[part].to(table.dtype) if offset.numel() else None
        pooled = _pool(pooling, table, input.shape, rois[part], moved, counts)
        output[part] = pooled.to(output.dtype)


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Add the gradients with respect to input and (unless empty) offset to ``grad_input`` and ``grad_offset``.

    Raises:
        ValueError: as :func:`deform_roi_pool_forward`.
    """
    pooling = _Pooling((pooled_height, pooled_width), spatial_scale, sampling_ratio, gamma)
    _check(pooling, input, rois, offset, grad_output)
    table = _table(input).detach().requires_grad_()
    total = torch.zeros_like(table)
    rois = _checked(rois.to(table.dtype), input.shape)
    for part, counts in _parts(pooling, rois):
        moved = offset[part].detach().to(table.dtype).requires_grad_() if offset.numel() else None
        with torch.enable_grad():
            pooled = _pool(pooling, table, input.shape, rois[part], moved, counts)
        inputs = (table,) if moved is None else (table, moved)
        table_part, *offset_part = torch.autograd.grad(pooled, inputs, grad_output[part].to(table.dtype))
        total += table_part
        if offset_part:
            grad_offset[part] += offset_part[0]
    batch, channels, height, width = input.shape
    grad_input += total.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _table(input: Tensor) -> Tensor:
    """Return ``(B, C, H, W)`` as rows ``(B*H*W, C)`` in the dtype of the computation."""
    dtype = torch.float32 if input.dtype in (torch.float16, torch.bfloat16) else input.dtype
    return input.permute(0, 2, 3, 1).to(dtype).flatten(0, 2).contiguous()


def _checked(rois: Tensor, shape: torch.Size) -> Tensor:
    """Return the RoIs with those that are not finite made empty, far outside the first image, where all is zero."""
    finite = rois.isfinite().all(1, keepdim=True)
    rois = torch.where(finite, rois, rois.new_tensor([0, -1e6, -1e6, -1e6, -1e6]))
    check_rois(rois, shape[0], *shape[2:])
    return rois


def _box(pooling: _Pooling, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper left corners ``(R, 2)`` and the sizes ``(R, 2)`` of the RoIs in pixels, y before x."""
    corners = rois[:, 1:] * pooling.spatial_scale - 0.5
    start = corners[:, [1, 0]]
    return start, corners[:, [3, 2]] - start


def _parts(pooling: _Pooling, rois: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield RoIs whose samples keep within the limit, with the samples of a bin ``(R, 2)`` along y and x."""
    if pooling.sampling_ratio > 0:
        counts = rois.new_full((rois.shape[0], 2), pooling.sampling_ratio, dtype=torch.int64)
        totals = [pooling.sampling_ratio**2 * pooling.size[0] * pooling.size[1]] * rois.shape[0]
    else:
        size = (_box(pooling, rois)[1] / rois.new_tensor(pooling.size)).ceil().clamp(min=0)
        check_samples(rois, size, pooling.size[0] * pooling.size[1])
        counts = size.to(torch.int64)
        totals = (counts.prod(1) * pooling.size[0] * pooling.size[1]).tolist()
    start, samples = 0, 0
    for end, total in enumerate(totals):
        if samples and samples + total > _SAMPLES:
            yield slice(start, end), counts[start:end]
            start, samples = end, 0
        samples += total
    if totals:
        yield slice(start, len(totals)), counts[start:]


def _pool(
    pooling: _Pooling, table: Tensor, shape: torch.Size, rois: Tensor, offset: Tensor | None, counts: Tensor
) -> Tensor:
    """Return the pooled RoIs ``(R, C, pooled height, pooled width)``; differentiable in ``table`` and ``offset``."""
    (rows, columns), device = pooling.size, rois.device
    start, size = _box(pooling, rois)
    bin_size = size / rois.new_tensor(pooling.size)
    corner = start[:, None, None].expand(-1, rows, columns, 2)
    if offset is not None:
        corner = corner + pooling.gamma * size[:, None, None] * offset.permute(0, 2, 3, 1).flip(-1)
    cell = torch.stack(
        torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"), -1
    )
    corner = corner + cell * bin_size[:, None, None]  # (R, rows, columns, 2)

    # One entry per sample from here on: its bin, its RoI, its step within the bin, its position (y, x).
    per_bin = counts.prod(1).repeat_interleave(rows * columns)
    ends = per_bin.cumsum(0)
    bins = torch.arange(per_bin.shape[0], device=device).repeat_interleave(per_bin)
    roi = bins // (rows * columns)
    within = torch.arange(bins.shape[0], device=device) - (ends - per_bin)[bins]
    across = counts[roi, 1]
    step = torch.stack((within // across, within % across), -1)
    position = corner.flatten(0, 2)[bins] + (step + 0.5) * bin_size[roi] / counts[roi]
    index, weight = _bilinear(position, shape[2:])
    index = index + (rois[:, 0].to(torch.int64) * (shape[2] * shape[3]))[roi, None]
    weight = weight / per_bin[bins, None]
    pooled = F.embedding_bag(
        index.flatten(), table, 4 * (ends - per_bin), mode="sum", per_sample_weights=weight.flatten()
    )
    return pooled.view(-1, rows, columns, shape[1]).permute(0, 3, 1, 2)


def _bilinear(position: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """Return the four pixels (row-major index) and weights ``(samples, 4)`` of each ``position`` ``(samples, 2)``."""
    limit = position.new_tensor(size)
    inside = ((position >= -1) & (position <= limit)).all(-1, keepdim=True)
    position = torch.where(inside, position, 0)  # NaN as well: an index is made of it
    position = torch.minimum(position.clamp(min=0), limit - 1)
    low = position.detach().floor()
    fraction = position - low
    low = low.to(torch.int64)
    high = torch.minimum(low + 1, limit.to(torch.int64) - 1)
    y, x = torch.stack((low[:, 0], high[:, 0]), -1), torch.stack((low[:, 1], high[:, 1]), -1)
    of_y, of_x = (torch.stack((1 - part, part), -1) for part in fraction.unbind(-1))
    index = (y[:, :, None] * size[1] + x[:, None]).flatten(1)
    return index, torch.where(inside, (of_y[:, :, None] * of_x[:, None]).flatten(1), 0)


def _check(pooling: _Pooling, input: Tensor, rois: Tensor, offset: Tensor, output: Tensor) -> None:
    if input.dim() != 4 or rois.dim() != 2 or rois.shape[1] != 5:
        raise ValueError(
            f"deform_roi_pool: the input is (B, C, H, W) and the RoIs (R, 5), got {tuple(input.shape)} and"
            f" {tuple(rois.shape)}"
        )
    if tuple(output.shape) != (rois.shape[0], input.shape[1], *pooling.size):
        raise ValueError(
            f"deform_roi_pool: the output has the shape {(rois.shape[0], input.shape[1], *pooling.size)}, got"
            f" {tuple(output.shape)}"
        )
    if offset.numel() and tuple(offset.shape) != (rois.shape[0], 2, *pooling.size):
        raise ValueError(
            f"deform_roi_pool: the offset is empty or has the shape {(rois.shape[0], 2, *pooling.size)}, got"
            f" {tuple(offset.shape)}"
        )
