"""Multi-scale deformable attention as an exported program holds it: gather, multiply, sum, with every size dynamic.

Such a program runs where this package is not installed, so it holds plain operations only, none of our operators.
Before PyTorch 2.7 that is so with ONNX export alone, and sure only with ``dynamo=False``: `torch.export` there looks
like compilation, and its programs keep our operator.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_exporting() -> bool:
    """Whether ONNX export or, from PyTorch 2.7 on, `torch.export` is recording this call."""
    if torch.onnx.is_in_onnx_export():
        return True
    return hasattr(torch.compiler, "is_exporting") and torch.compiler.is_exporting()


def attend(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sum bilinear samples of feature maps, weighted by attention; see :func:`mmrepro.ops.ms_deform_attn`.

    Every operation is one that exporters know, and the only loop is over a sample's four pixels. A pixel outside counts
    as zero whatever the maps hold. It stores numbers of size samples times channels: to export, not to train with.

    Arguments are those of that function, checked there; S is not zero.

    Returns:
        ``(B, N, h*d)`` in the data type of `value`.
    """
    batch, size, heads, width = value.shape
    queries = sampling_locations.size(1)
    dtype = torch.promote_types(value.dtype, torch.float32)
    weights = attention_weights.to(dtype)
    sides, starts = spatial_shapes.long().flip(1), level_start_index.long()[:, None]  # (L, 2) as (W, H)
    pixel = sampling_locations.to(dtype) * sides.to(dtype)[:, None] - 0.5  # (B, N, h, L, P, 2)
    last = (sides - 1).clamp(min=0)[:, None].to(dtype)
    # Neither NaN nor a huge number can be made an index. Two pixels outside nothing is seen, wherever it is.
    pixel = torch.where(pixel == pixel, pixel, torch.full_like(pixel, -2.0))
    pixel = torch.minimum(pixel.clamp(min=-2.0), last + 2.0)
    low = pixel.floor()
    fraction = pixel - low
    table = value.to(dtype).reshape(-1, width)
    image = torch.arange(batch, device=value.device)[:, None, None, None, None] * size
    head = torch.arange(heads, device=value.device)[:, None, None]
    zero = total = torch.zeros((), dtype=dtype, device=value.device)
    for right in (0, 1):
        for below in (0, 1):
            corner = low + torch.tensor((right, below), dtype=dtype, device=value.device)
            inside_x, inside_y = ((corner >= 0) & (corner <= last) & (sides > 0)[:, None]).unbind(-1)
            x, y = torch.minimum(corner.clamp(min=0.0), last).long().unbind(-1)
            row = (starts + y * sides[:, :1] + x).clamp(0, size - 1)  # (B, N, h, L, P)
            row = (image + row) * heads + head
            samples = table.index_select(0, row.reshape(-1)).reshape(batch, queries, heads, -1, width)
            # Before it meets its weight: NaN of a pixel that is not seen then reaches no gradient either.
            samples = torch.where((inside_x & inside_y).reshape(batch, queries, heads, -1, 1), samples, zero)
            by_x, by_y = (fraction if one else 1 - fraction for one in (right, below))
            factor = by_x[..., 0] * by_y[..., 1] * weights
            total = total + (samples * factor.reshape(batch, queries, heads, -1, 1)).sum(-2)
    return total.reshape(batch, queries, heads * width).to(value.dtype)
