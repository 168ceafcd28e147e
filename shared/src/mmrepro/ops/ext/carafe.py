"""CARAFE, the content-aware upsampling, with the signatures of ``mmcv._ext``, in plain PyTorch.

Wang et al., arXiv:1905.02188, equation 3: each output pixel is a weighted sum over the ``k x k`` window around the
input pixel under it, with weights of its own (``masks``) for each of ``g`` groups of channels; outside the image is
zero.
Shapes: features ``(B, C, H, W)``, masks ``(B, g*k*k, s*H, s*W)``, output ``(B, C, s*H, s*W)`` for the scale ``s``.

Both variants of mmcv are the same function; they differ in their scratch tensors and in that ``carafe_naive_backward``
adds to its gradients where ``carafe_backward`` writes them. Windows are gathered a few rows at a time, so that memory
does not grow with ``k * k`` times the features, and multiplied as small matrices, in float32 for half precision.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Elements of the gathered windows that are in memory at once: what the caches of a CPU hold; 128 MiB of float32
# elsewhere, where short loops matter more.
_WINDOW_ELEMENTS_CPU = 2**20
_WINDOW_ELEMENTS = 2**25


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Write the upsampled features into ``output``.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(features.shape, masks, output, kernel_size, group_size, scale_factor)
    _forward(features.permute(0, 2, 3, 1), masks, output, kernel_size, group_size, scale_factor)


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients with respect to features and masks to ``bottom_grad`` and ``mask_grad``.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(features.shape, masks, top_grad, kernel_size, group_size, scale_factor)
    features_part, masks_part = _backward(
        top_grad, features.permute(0, 2, 3, 1), masks, kernel_size, group_size, scale_factor
    )
    bottom_grad += features_part
    mask_grad += masks_part


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the upsampled features into ``output``, and the features as ``(B, H, W, C)`` into ``rfeatures``.

    mmcv keeps ``rfeatures`` for :func:`carafe_backward`. ``routput`` and ``rmasks`` are scratch and not used.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(features.shape, masks, output, kernel_size, group_size, scale_factor)
    channels_last = features.permute(0, 2, 3, 1)
    rfeatures.resize_(channels_last.shape).copy_(channels_last)
    _forward(rfeatures, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the gradients with respect to features and masks into ``bottom_grad`` and ``mask_grad``.

    ``rfeatures`` ``(B, H, W, C)`` comes from :func:`carafe_forward`; the other tensors named ``r...`` are scratch.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(bottom_grad.shape, masks, top_grad, kernel_size, group_size, scale_factor)
    features_part, masks_part = _backward(top_grad, rfeatures, masks, kernel_size, group_size, scale_factor)
    bottom_grad.copy_(features_part)
    mask_grad.copy_(masks_part)


def _forward(features: Tensor, masks: Tensor, output: Tensor, kernel: int, groups: int, scale: int) -> None:
    """Upsample ``features`` ``(B, H, W, C)`` into ``output`` ``(B, C, s*H, s*W)``."""
    width = features.shape[2]
    weights, result = _split(masks, groups, scale), _split(output, groups, scale)
    padded = _pad(features, kernel)
    with torch.autocast(features.device.type, enabled=False):
        for rows in _strips(features, kernel):
            windows = _windows(padded, rows, width, kernel, groups)  # (b*rows*W*g, k*k, C/g)
            product = weights[:, rows].to(padded.dtype).flatten(0, 3).flatten(1, 2) @ windows
            result[:, rows] = product.view(*result[:, rows].shape)


def _backward(
    grad: Tensor, features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients with respect to features ``(B, C, H, W)`` and masks."""
    height, width, channels = features.shape[1:]
    weights, upper = _split(masks, groups, scale), _split(grad, groups, scale)
    padded = _pad(features, kernel)
    padded_grad = torch.zeros_like(padded)
    masks_grad = torch.empty_like(masks)
    weights_grad = _split(masks_grad, groups, scale)
    with torch.autocast(features.device.type, enabled=False):
        for rows in _strips(features, kernel):
            windows = _windows(padded, rows, width, kernel, groups)
            # (b, rows, W, g, s, s, .) -> (b*rows*W*g, s*s, .)
            upper_part = upper[:, rows].to(padded.dtype).flatten(0, 3).flatten(1, 2)
            weights_part = weights[:, rows].to(padded.dtype).flatten(0, 3).flatten(1, 2)
            weights_grad[:, rows] = (upper_part @ windows.transpose(1, 2)).view(*weights_grad[:, rows].shape)
            windows_grad = (weights_part.transpose(1, 2) @ upper_part).view(
                features.shape[0], rows.stop - rows.start, width, groups, kernel, kernel, channels // groups
            )
            for i in range(kernel):
                for j in range(kernel):
                    target = padded_grad[:, rows.start + i : rows.stop + i, j : j + width]
                    target += windows_grad[:, :, :, :, i, j].flatten(3)
    radius = kernel // 2
    inner = padded_grad[:, radius : radius + height, radius : radius + width]
    return inner.permute(0, 3, 1, 2).to(features.dtype), masks_grad


def _split(tensor: Tensor, groups: int, scale: int) -> Tensor:
    """Return ``(B, g*c, s*H, s*W)`` as a view ``(B, H, W, g, s, s, c)``."""
    split = tensor.unflatten(3, (-1, scale)).unflatten(2, (-1, scale)).unflatten(1, (groups, -1))
    return split.permute(0, 3, 5, 1, 4, 6, 2)


def _pad(features: Tensor, kernel: int) -> Tensor:
    """Return ``(B, H, W, C)`` with ``k // 2`` zeros around height and width, in the dtype of the computation."""
    radius = kernel // 2
    dtype = torch.float32 if features.dtype in (torch.float16, torch.bfloat16) else features.dtype
    return F.pad(features.to(dtype), (0, 0, radius, radius, radius, radius))


def _strips(features: Tensor, kernel: int) -> Iterator[slice]:
    """Yield the rows of ``(B, H, W, C)`` in strips whose windows keep within the limit of elements."""
    batch, height, width, channels = features.shape
    limit = _WINDOW_ELEMENTS_CPU if features.device.type == "cpu" else _WINDOW_ELEMENTS
    step = max(1, limit // max(1, batch * width * channels * kernel * kernel))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


def _windows(padded: Tensor, rows: slice, width: int, kernel: int, groups: int) -> Tensor:
    """Return the windows around the pixels of some rows as ``(b*rows*W*g, k*k, C/g)``."""
    strip = padded[:, rows.start : rows.stop + kernel - 1].unfold(1, kernel, 1).unfold(2, kernel, 1)
    # (b, rows, W, C, k, k) -> (b, rows, W, g, k, k, C/g)
    return strip.unflatten(3, (groups, -1)).permute(0, 1, 2, 3, 5, 6, 4).flatten(4, 5).flatten(0, 3)


def _check(shape: torch.Size, masks: Tensor, output: Tensor, kernel: int, groups: int, scale: int) -> None:
    """Raise ValueError where the shapes of features, masks and output do not fit together."""
    batch, channels, height, width = shape
    if kernel < 1 or kernel % 2 == 0 or scale < 1 or groups < 1 or channels % groups:
        raise ValueError(
            f"carafe: the kernel is odd, the scale positive and the groups divide the {channels} channels; got"
            f" kernel_size {kernel}, scale_factor {scale}, group_size {groups}"
        )
    for name, tensor, expected in (("masks", masks, groups * kernel * kernel), ("output", output, channels)):
        if tuple(tensor.shape) != (batch, expected, scale * height, scale * width):
            raise ValueError(
                f"carafe: the {name} have the shape {(batch, expected, scale * height, scale * width)} for features"
                f" {tuple(shape)}, got {tuple(tensor.shape)}"
            )
