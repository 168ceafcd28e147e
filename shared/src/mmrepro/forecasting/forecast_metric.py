"""The errors of forecasts in scaled units, each window counted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine.registry import METRICS
from torch import Tensor

from mmrepro.forecasting.errors import SUMS, window_sums
from mmrepro.forecasting.window_metric import WindowMetric


@METRICS.register_module()
class ForecastMetric(WindowMetric):
    """Mean errors over all windows, steps and variates, beside those of repeating the last observed value.

    Only a few sums per window are kept, in float64, so the result depends on neither the batch size nor the number of
    processes. The keys are ``mse``, ``mae``, ``rmse``, ``mape``, ``mspe``, ``baseline_mse``, ``baseline_mae`` (repeat
    the last value) and ``windows``.

    Args:
        drop_last_batch: count only the first ``windows // n * n`` windows in the data set's order. Older code of this
            family tests so, with ``n`` the batch size, and gets other numbers; None counts every window.
        by_step: add ``mse_by_step`` and ``mae_by_step``, a list with one number per forecast step.
        by_variate: add ``mse_by_variate`` and ``mae_by_variate``, a list with one number per series.
        prefix: put before each key with a ``/``.

    Raises:
        ValueError: ``drop_last_batch`` together with ``by_step`` or ``by_variate``.
    """

    def __init__(
        self,
        drop_last_batch: int | None = None,
        by_step: bool = False,
        by_variate: bool = False,
        prefix: str | None = None,
    ):
        super().__init__(prefix=prefix)
        if drop_last_batch and (by_step or by_variate):
            raise ValueError("by_step and by_variate count every window: leave drop_last_batch out")
        self.drop_last_batch = drop_last_batch
        self.by_step = by_step
        self.by_variate = by_variate
        self._details: Tensor | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add a batch of the model's ``predict`` output: ``forecast`` and ``target`` (S, V), ``last`` (V,)."""
        super().process(data_batch, data_samples)
        if self.by_step or self.by_variate:
            forecast, target = (torch.stack([s[key] for s in data_samples]) for key in ("forecast", "target"))
            error = forecast.double() - target.double()
            sums = torch.stack([(error**2).sum(0), error.abs().sum(0)])
            self._details = sums if self._details is None else self._details + sums

    def rows(self, data_samples: Sequence[dict]) -> Tensor:
        """Return the four sums of each window, two of the repeated last value, and its steps and variates (B, 8)."""
        forecast, target, last = (torch.stack([s[k] for s in data_samples]) for k in ("forecast", "target", "last"))
        baseline = window_sums(last[:, None].expand_as(target), target)
        shapes = baseline.new_tensor(target.shape[1:]).expand(len(target), 2)
        return torch.cat([window_sums(forecast, target), baseline[:, :2], shapes], dim=1)

    def compute_metrics(self, results: Tensor) -> dict[str, float | list[float]]:
        """Turn the rows of all windows (W, 8) into the mean errors.

        Raises:
            ValueError: ``drop_last_batch`` leaves no window.
        """
        details, self._details = self._details, None
        windows = len(results) // (self.drop_last_batch or 1) * (self.drop_last_batch or 1)
        if not windows:
            raise ValueError("no window is counted: drop_last_batch leaves nothing of the data set")
        sums, (steps, variates) = results[:windows, :-2], (int(size) for size in results[0, -2:])
        means = (sums.sum(0) / (windows * steps * variates)).tolist()
        squared, absolute, relative, relative_squared = means[: len(SUMS)]
        metrics = {
            "mse": squared,
            "mae": absolute,
            "rmse": squared**0.5,
            "mape": relative,
            "mspe": relative_squared,
            "baseline_mse": means[-2],
            "baseline_mae": means[-1],
            "windows": windows,
        }
        if self.by_step or self.by_variate:
            own = sums.new_zeros(2, steps, variates) if details is None else details.to(sums.device)
            metrics |= self._details_of(own, windows)
        return metrics

    def _details_of(self, own: Tensor, windows: int) -> dict[str, list[float]]:
        """Turn one process's sums over windows (2, S, V) into lists by step and by variate over all processes."""
        dist.all_reduce(own)
        mse, mae = own / windows
        by_step = {"mse_by_step": mse.mean(1).tolist(), "mae_by_step": mae.mean(1).tolist()} if self.by_step else {}
        by_variate = {"mse_by_variate": mse.mean(0).tolist(), "mae_by_variate": mae.mean(0).tolist()}
        return by_step | (by_variate if self.by_variate else {})
