"""Linearly growing depth bins (LID): each is wider than the one before it by the same amount.

Source: JihyeokKim/MonoDINO-DETR @ 65004cc. There the loss counts with 80 bins up to 60 m whatever the model has; here
predictor and loss are given the same numbers, unless the criterion's ``official_depth_bins`` is set. The last index,
after all bins, stands for background and for what is farther away than the bins reach.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bin_growth(num_depth_bins: int, depth_min: float, depth_max: float) -> float:
    """Return by how many metres each bin is wider than the one before it.

    Raises:
        ValueError: there is no bin, or the depths are not 0 <= depth_min < depth_max.
    """
    if num_depth_bins < 1:
        raise ValueError(f"num_depth_bins={num_depth_bins}: at least one bin is needed")
    if not 0 <= depth_min < depth_max:
        raise ValueError(f"depth_min={depth_min} and depth_max={depth_max} must be 0 <= depth_min < depth_max, metres")
    return 2 * (depth_max - depth_min) / (num_depth_bins * (num_depth_bins + 1))


def depth_bin_values(num_depth_bins: int = 80, depth_min: float = 1e-3, depth_max: float = 60.0) -> Tensor:
    """Return the depth that each index stands for in metres, ``(num_depth_bins + 1,)``; the last is ``depth_max``.

    A bin stands for its near end, as officially.

    Raises:
        ValueError: see :func:`bin_growth`.
    """
    growth = bin_growth(num_depth_bins, depth_min, depth_max)
    inner = (torch.arange(num_depth_bins) + 0.5) ** 2 * growth / 2 - growth / 8 + depth_min
    return torch.cat([inner, torch.tensor([depth_max])])


def depth_bin_targets(
    depths: Tensor, num_depth_bins: int = 80, depth_min: float = 1e-3, depth_max: float = 60.0
) -> Tensor:
    """Return the index of the bin that depths lie in, int64, of the same shape.

    Args:
        depths: in metres; 0 is background.
        num_depth_bins, depth_min, depth_max: of the bins.

    Returns:
        ``num_depth_bins`` for what lies in no bin: nearer than ``depth_min``, beyond ``depth_max`` or not finite.

    Raises:
        ValueError: see :func:`bin_growth`.
    """
    growth = bin_growth(num_depth_bins, depth_min, depth_max)
    places = -0.5 + 0.5 * torch.sqrt(1 + 8 * (depths - depth_min) / growth)
    inside = (places >= 0) & (places <= num_depth_bins)  # false for NaN
    return torch.where(inside, places, places.new_full((), num_depth_bins)).long()
