"""The errors of forecasts in scaled units, each window counted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch import Tensor

from mm_itransformer.evaluation.errors import SUMS, window_sums


@METRICS.register_module()
class ForecastMetric(BaseMetric):
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

    default_prefix = ""  # none, and mmengine does not warn of it

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
        self._shape = (0, 0)  # steps and variates of a window

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add a batch of the model's ``predict`` output: ``forecast`` and ``target`` (S, V), ``last`` (V,)."""
        forecast, target, last = (torch.stack([s[k] for s in data_samples]) for k in ("forecast", "target", "last"))
        self._shape = tuple(target.shape[1:])
        baseline = window_sums(last[:, None].expand_as(target), target)
        self.results.append(torch.cat([window_sums(forecast, target), baseline[:, :2]], dim=1))
        if self.by_step or self.by_variate:
            error = forecast.double() - target.double()
            sums = torch.stack([(error**2).sum(0), error.abs().sum(0)])
            self._details = sums if self._details is None else self._details + sums

    def evaluate(self, size: int) -> dict[str, float | list[float]]:
        """Return the errors over the windows of all processes.

        Args:
            size: number of windows in the data set.

        Raises:
            ValueError: no window was evaluated, or more than the data set has, or ``drop_last_batch`` leaves none.
        """
        sums = self._gather_in_order()
        if len(sums) > size:
            raise ValueError(
                f"{len(sums)} windows were evaluated, but the data set has {size}: the sampler fills up the last round "
                "of processes with repeats. Set sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)"
            )
        self.results.clear()
        details, self._details = self._details, None
        if self.drop_last_batch:
            sums = sums[: len(sums) // self.drop_last_batch * self.drop_last_batch]
        if not len(sums):
            raise ValueError("no window was evaluated: the data set, or what drop_last_batch leaves of it, is empty")
        metrics = self.compute_metrics(sums)
        if self.by_step or self.by_variate:
            metrics |= self._details_of(details, sums)
        return {f"{self.prefix}/{k}" if self.prefix else k: v for k, v in metrics.items()}

    def compute_metrics(self, results: Tensor) -> dict[str, float]:
        """Turn the sums of each window (W, 6) into the mean errors."""
        steps, variates = self._shape
        means = (results.sum(0) / (len(results) * steps * variates)).tolist()
        squared, absolute, relative, relative_squared = means[: len(SUMS)]
        return {
            "mse": squared,
            "mae": absolute,
            "rmse": squared**0.5,
            "mape": relative,
            "mspe": relative_squared,
            "baseline_mse": means[-2],
            "baseline_mae": means[-1],
            "windows": len(results),
        }

    def _gather_in_order(self) -> Tensor:
        """Return the sums of all windows (W, 6) in the data set's order, the same on every process.

        mmengine's sampler deals windows out in turn: process ``r`` of ``n`` has ``r``, ``r + n``, ``r + 2n``, ...
        """
        own = torch.cat(self.results) if self.results else torch.zeros(0, len(SUMS) + 2, dtype=torch.float64)
        rank, processes = dist.get_rank(), dist.get_world_size()
        if processes == 1:
            return own
        own = own.to(dist.get_comm_device(dist.get_default_group()))
        facts = torch.stack(dist.all_gather(torch.tensor([len(own), *self._shape], device=own.device)))
        counts, self._shape = facts[:, 0], tuple(facts[:, 1:].amax(0).tolist())
        rounds = torch.arange(int(counts.max()), device=own.device)
        everything = own.new_zeros(len(rounds), processes, own.shape[1])
        everything[: len(own), rank] = own
        dist.all_reduce(everything)
        return everything[rounds[:, None] < counts]

    def _details_of(self, details: Tensor | None, sums: Tensor) -> dict[str, list[float]]:
        """Turn one process's sums over windows (2, S, V) into lists by step and by variate over all processes."""
        details = sums.new_zeros(2, *self._shape) if details is None else details.to(sums.device)
        dist.all_reduce(details)
        mse, mae = details / len(sums)
        by_step = {"mse_by_step": mse.mean(1).tolist(), "mae_by_step": mae.mean(1).tolist()} if self.by_step else {}
        by_variate = {"mse_by_variate": mse.mean(0).tolist(), "mae_by_variate": mae.mean(0).tolist()}
        return by_step | (by_variate if self.by_variate else {})
