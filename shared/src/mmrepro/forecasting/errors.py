"""What a forecast's error is: sums per window for the streaming metric, and two measures that need all windows at once.

Official code: thuml/iTransformer @ c2426e6, utils/metrics.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

SUMS = ("squared", "absolute", "relative", "relative_squared")


def window_sums(forecast: Tensor, target: Tensor) -> Tensor:
    """Return the four sums named in ``SUMS`` for each window, in float64: (B, S, V) twice -> (B, 4).

    The relative errors are divided by the target without a guard, as in the official code: they say nothing about
    scaled series, which pass through zero.
    """
    target = target.double()
    error = forecast.double() - target
    relative = error / target
    return torch.stack([e.flatten(1).sum(1) for e in (error**2, error.abs(), relative.abs(), relative**2)], dim=1)


def relative_squared_error(forecast: Tensor, target: Tensor) -> Tensor:
    """Return the root of the squared error over the target's spread around its mean: any shape twice -> scalar."""
    forecast, target = forecast.double(), target.double()
    return ((target - forecast) ** 2).sum().sqrt() / ((target - target.mean()) ** 2).sum().sqrt()


def correlation(forecast: Tensor, target: Tensor) -> Tensor:
    """Return the official code's ``CORR`` for each step, the mean over variates: (W, S, V) twice -> (S,).

    Its denominator multiplies the squares before it sums over windows, so this is not Pearson's correlation.
    """
    forecast, target = forecast.double(), target.double()
    forecast, target = forecast - forecast.mean(0), target - target.mean(0)
    return ((target * forecast).sum(0) / (target**2 * forecast**2).sum(0).sqrt()).mean(-1)
