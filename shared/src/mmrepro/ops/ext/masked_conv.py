"""The two steps of mmcv's masked convolution around its matrix product, with the signatures of ``mmcv._ext``.

The convolution is computed only at the positions that a mask selects (guided anchoring: Wang et al., arXiv:1901.03278).
mmcv calls them for one image, with stride and dilation one, and has no gradient for them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the windows of ``im`` ``(1, C, H, W)`` at the M positions into ``col`` ``(C * kernel_h * kernel_w, M)``.

    A window begins at ``(mask_h_idx - pad_h, mask_w_idx - pad_w)``; what lies outside the image is zero.

    Raises:
        ValueError: more than one image, or a ``col`` that does not fit.
    """
    _check_one_image("im", im)
    channels, height, width = im.shape[1:]
    positions = mask_h_idx.shape[0]
    if tuple(col.shape) != (channels * kernel_h * kernel_w, positions):
        raise ValueError(
            f"masked_im2col: col has the shape {(channels * kernel_h * kernel_w, positions)} for {channels} channels, a"
            f" {kernel_h} x {kernel_w} kernel and {positions} positions, got {tuple(col.shape)}"
        )
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None] - pad_h  # (kernel_h, M)
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None] - pad_w  # (kernel_w, M)
    outside = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))
    index = rows.clamp(0, height - 1)[:, None] * width + columns.clamp(0, width - 1)  # (kernel_h, kernel_w, M)
    windows = im[0].flatten(1).index_select(1, index.flatten())
    col.copy_(windows.masked_fill_(outside.flatten(), 0).view_as(col))


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write ``col`` ``(channels, M)`` into ``im`` ``(1, channels, height, width)`` at the M positions, in place.

    Raises:
        ValueError: more than one image, or shapes that do not fit.
        IndexError: a position outside ``im`` (on CUDA an assertion of the device).
    """
    _check_one_image("im", im)
    if tuple(im.shape[1:]) != (channels, height, width) or tuple(col.shape) != (channels, mask_h_idx.shape[0]):
        raise ValueError(
            f"masked_col2im: im has the shape {(1, channels, height, width)} and col {(channels, mask_h_idx.shape[0])},"
            f" got {tuple(im.shape)} and {tuple(col.shape)}"
        )
    im[0][:, mask_h_idx, mask_w_idx] = col.to(im.dtype)


def _check_one_image(name: str, im: Tensor) -> None:
    if im.dim() != 4 or im.shape[0] != 1:
        raise ValueError(f"masked convolution: {name} is one image (1, C, H, W), got the shape {tuple(im.shape)}")
