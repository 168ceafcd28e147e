"""Metrics that see every window once, in the data set's order, whatever the batches and the number of processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine.evaluator import BaseMetric
from torch import Tensor


class WindowMetric(BaseMetric):
    """A metric that keeps one row of float64 numbers for each window; a subclass says which, and what they come to.

    Args:
        prefix: put before each key with a ``/``.
    """

    default_prefix = ""  # none, and mmengine does not warn of it

    def __init__(self, prefix: str | None = None):
        super().__init__(prefix=prefix)

    @abstractmethod
    def rows(self, data_samples: Sequence[dict]) -> Tensor:
        """Return one row for each sample of the model's ``predict`` output: (B, K) float64."""

    @abstractmethod
    def compute_metrics(self, results: Tensor) -> dict[str, float]:
        """Turn the rows of all windows (W, K) into the metrics."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add a batch of the model's ``predict`` output."""
        self.results.append(self.rows(data_samples))

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics over the windows of all processes.

        Args:
            size: number of windows in the data set.

        Raises:
            ValueError: no window was evaluated, or more than the data set has.
        """
        rows = gather_in_order(torch.cat(self.results) if self.results else torch.zeros(0, 0, dtype=torch.float64))
        self.results.clear()
        if not len(rows):
            raise ValueError("no window was evaluated: the data set is empty")
        if len(rows) > size:
            raise ValueError(
                f"{len(rows)} windows were evaluated, but the data set has {size}: the sampler fills up the last round "
                "of processes with repeats. Set sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)"
            )
        metrics = self.compute_metrics(rows)
        return {f"{self.prefix}/{key}" if self.prefix else key: value for key, value in metrics.items()}


def gather_in_order(own: Tensor) -> Tensor:
    """Return the rows of all processes (W, K) in the data set's order, the same on every process.

    mmengine's sampler deals windows out in turn: process ``r`` of ``n`` has ``r``, ``r + n``, ``r + 2n``, ...

    Args:
        own: this process's rows (w, K), in order; one without any may have another K.
    """
    rank, processes = dist.get_rank(), dist.get_world_size()
    if processes == 1:
        return own
    own = own.to(dist.get_comm_device(dist.get_default_group()))
    facts = torch.stack(dist.all_gather(torch.tensor([len(own), own.shape[1]], device=own.device)))
    counts, width = facts[:, 0], int(facts[:, 1].max())
    rounds = torch.arange(int(counts.max()), device=own.device)
    everything = own.new_zeros(len(rounds), processes, width)
    if len(own):
        everything[: len(own), rank] = own
    dist.all_reduce(everything)
    return everything[rounds[:, None] < counts]
