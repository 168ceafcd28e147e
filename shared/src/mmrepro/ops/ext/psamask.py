"""PSANet's attention masks with the signatures of ``mmcv._ext``, in plain PyTorch.

Zhao et al., PSANet, ECCV 2018, section 3.3. Each position ``(h, w)`` of a feature map predicts a mask over the
positions around it. The operator moves that mask into a map over all positions ``(y, x)``, where
``y = h + row - half_h_mask`` and ``x = w + column - half_w_mask``: to channel ``(y, x)`` at ``(h, w)`` for type 0
(collect), to channel ``(h, w)`` at ``(y, x)`` for type 1 (distribute). As in mmcv, elements that no mask reaches keep
what the output held.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

COLLECT, DISTRIBUTE = 0, 1


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Move ``input`` ``(B, h_mask*w_mask, H, W)`` into ``output`` ``(B, H*W, H, W)``.

    Raises:
        ValueError: shapes that do not fit, or an unknown type.
    """
    _check(input, output, psa_type, num_, (h_feature, w_feature), (h_mask, w_mask))
    masks, maps = _masks(input, h_mask, w_mask), _maps(output, psa_type)
    steps = torch.arange(w_feature, device=input.device)
    mask_column = steps[:, None] - steps + half_w_mask  # (x, w)
    for h, mask_rows, rows in _rows(h_feature, h_mask, half_h_mask):
        _gather_columns(masks[:, mask_rows, :, h], mask_column, maps[:, rows, :, h])


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Move ``grad_output`` ``(B, H*W, H, W)`` back into ``grad_input`` ``(B, h_mask*w_mask, H, W)``.

    Raises:
        ValueError: as :func:`psamask_forward`.
    """
    _check(grad_input, grad_output, psa_type, num_, (h_feature, w_feature), (h_mask, w_mask))
    masks, maps = _masks(grad_input, h_mask, w_mask), _maps(grad_output, psa_type)
    columns = torch.arange(w_mask, device=grad_input.device)
    column = columns[:, None] + torch.arange(w_feature, device=grad_input.device) - half_w_mask  # (mask column, w)
    for h, mask_rows, rows in _rows(h_feature, h_mask, half_h_mask):
        _gather_columns(maps[:, rows, :, h], column, masks[:, mask_rows, :, h])


def _masks(masks: Tensor, height: int, width: int) -> Tensor:
    """Return the masks as a view ``(B, mask row, mask column, h, w)``."""
    return masks.unflatten(1, (height, width))


def _maps(maps: Tensor, psa_type: int) -> Tensor:
    """Return the maps of either type as a view ``(B, y, x, h, w)``."""
    split = maps.unflatten(1, maps.shape[2:])
    return split if psa_type == COLLECT else split.permute(0, 3, 4, 1, 2)


def _rows(height: int, mask_height: int, half: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield ``h``, the rows of its masks that lie within the map, and the rows of the map that these reach."""
    for h in range(height):
        first, end = max(0, half - h), min(mask_height, height + half - h)
        if first < end:
            yield h, slice(first, end), slice(first + h - half, end + h - half)


def _gather_columns(source: Tensor, index: Tensor, target: Tensor) -> None:
    """Write ``target[:, :, i, w] = source[:, :, index[i, w], w]`` wherever the index is a column of the source."""
    width = source.shape[2]
    reached = (index >= 0) & (index < width)
    picked = source.gather(2, index.clamp(0, width - 1).expand(*source.shape[:2], -1, -1))
    target.copy_(torch.where(reached, picked, target))


def _check(
    masks: Tensor, maps: Tensor, psa_type: int, batch: int, feature_size: tuple[int, int], mask_size: tuple[int, int]
) -> None:
    if psa_type not in (COLLECT, DISTRIBUTE):
        raise ValueError(f"psamask: the type is 0 (collect) or 1 (distribute), got {psa_type}")
    (height, width), (mask_height, mask_width) = feature_size, mask_size
    for name, tensor, channels in (("masks", masks, mask_height * mask_width), ("maps", maps, height * width)):
        if tuple(tensor.shape) != (batch, channels, height, width):
            raise ValueError(
                f"psamask: the {name} have the shape {(batch, channels, height, width)}, got {tuple(tensor.shape)}"
            )
