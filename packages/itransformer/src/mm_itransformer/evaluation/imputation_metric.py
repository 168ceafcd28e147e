"""The errors of imputed values in scaled units, over the missing entries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.registry import METRICS
from torch import Tensor

from mmrepro.forecasting.window_metric import WindowMetric


@METRICS.register_module()
class ImputationMetric(WindowMetric):
    """Mean errors over all missing entries of all windows, beside those of straight lines between observed values.

    The keys are ``mse``, ``mae``, ``rmse``, ``baseline_mse``, ``baseline_mae`` (straight lines), ``missing`` (how many
    entries) and ``windows``. Official code: exp/exp_imputation.py of thuml/Time-Series-Library @ 4e938a1.

    Args:
        prefix: put before each key with a ``/``.
    """

    def rows(self, data_samples: Sequence[dict]) -> Tensor:
        """Return sums over each window's missing entries (B, 5).

        The samples have ``imputed``, ``target`` and ``mask`` (T, V), True where observed.
        """
        imputed, target, mask = (torch.stack([s[key] for s in data_samples]) for key in ("imputed", "target", "mask"))
        target = target.double()
        missing = ~mask.bool()
        errors = [
            torch.where(missing, filled.double() - target, 0) for filled in (imputed, interpolate(target, ~missing))
        ]
        sums = [e.flatten(1).sum(1) for error in errors for e in (error**2, error.abs())]
        return torch.stack([*sums, missing.flatten(1).sum(1).double()], dim=1)

    def compute_metrics(self, results: Tensor) -> dict[str, float]:
        """Turn the sums of each window (W, 5) into the mean errors.

        Raises:
            ValueError: nothing is missing in any window.
        """
        *sums, missing = results.sum(0).tolist()
        if not missing:
            raise ValueError("no value is missing in any window: raise the mask_rate of ImputationWindows")
        mse, mae, baseline_mse, baseline_mae = (total / missing for total in sums)
        return {
            "mse": mse,
            "mae": mae,
            "rmse": mse**0.5,
            "baseline_mse": baseline_mse,
            "baseline_mae": baseline_mae,
            "missing": int(missing),
            "windows": len(results),
        }


def interpolate(series: Tensor, observed: Tensor) -> Tensor:
    """Fill each series of ``series`` (B, T, V) with straight lines between its observed values (B, T, V).

    Before the first observed value and after the last one that value is repeated; a series without any becomes 0.
    """
    steps = torch.arange(series.shape[1], device=series.device)[:, None].expand_as(series)
    last = len(steps[0]) - 1
    before = torch.where(observed, steps, -1).cummax(1).values
    after = torch.where(observed, steps, last + 1).flip(1).cummin(1).values.flip(1)
    left, right = torch.where(before < 0, after, before), torch.where(after > last, before, after)
    values = torch.where(observed, series, 0)
    low, high = (values.gather(1, places.clamp(0, last)) for places in (left, right))
    share = (steps - left).to(series.dtype) / (right - left).clamp(min=1)
    return low + share * (high - low)
