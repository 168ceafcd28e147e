"""Metrics of one task of several, or of those of its samples that have certain modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from mmrepro.reproduction.verdicts import BASELINE


@METRICS.register_module()
class TaskMetrics(BaseMetric):
    """Metrics that see the samples of one task alone; their names get the task's before them.

    On several processes the sampler repeats samples until all have as many. Other metrics cut these off, for they know
    the size of the data; here that is the size of all tasks, so up to a sample for each process but one counts twice.
    ``round_up=False`` of the sampler repeats none.

    Args:
        task: the task, as in the samples' ``task``.
        metrics: configs of the metrics.
        modalities: only samples that have these and no others; ``None`` for all.
        name: stands before the metrics' names; the task and its modalities by default.
        collect_device: as in mmengine.

    Raises:
        ValueError: when they are computed: there was no such sample.
    """

    def __init__(
        self,
        task: str,
        metrics: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        modalities: Sequence[str] | None = None,
        name: str | None = None,
        collect_device: str = "cpu",
    ) -> None:
        name = name or "_".join((task, *(f"{one}-only" for one in modalities or ())))
        super().__init__(collect_device=collect_device, prefix=name)
        self.task, self.modalities = task, None if modalities is None else set(modalities)
        configs = [metrics] if isinstance(metrics, Mapping) else metrics
        self.metrics = [METRICS.build(config) for config in configs]

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        """Hand on what the task's data set says of itself."""
        self._dataset_meta = meta
        for metric in self.metrics:
            metric.dataset_meta = meta.get(self.task, meta)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Give the metrics their samples.

        Args:
            data_batch: passed on.
            data_samples: dicts with ``task`` and ``modalities``.
        """
        mine = [sample for sample in data_samples if self._counts(sample)]
        if mine:
            for metric in self.metrics:
                metric.process(data_batch, mine)

    def _counts(self, sample: dict) -> bool:
        return sample["task"] == self.task and self.modalities in (None, set(sample["modalities"]))

    def compute_metrics(self, results: list) -> dict:
        """Not used: the metrics compute theirs in :meth:`evaluate`."""
        raise NotImplementedError

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics; ``size`` bounds the number of samples, as mmengine has it."""
        found = {}
        for metric in self.metrics:
            if get_world_size() == 1 and not metric.results:
                having = "" if self.modalities is None else f" with {', '.join(sorted(self.modalities))} alone"
                raise ValueError(f"no tested sample is of task {self.task!r}{having}: is the name right?")
            found.update(metric.evaluate(size))
        return {self._named(key): value for key, value in found.items()}

    def _named(self, key: str) -> str:
        # the name of what a baseline stands beside follows its prefix
        before = BASELINE if key.startswith(BASELINE) else ""
        return f"{before}{self.prefix}/{key.removeprefix(before)}"
