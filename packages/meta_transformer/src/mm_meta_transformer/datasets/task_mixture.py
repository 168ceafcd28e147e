"""The samples of several tasks in one data set, one of each in turn."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample

from mm_meta_transformer.datasets.data_error import DataError


@DATASETS.register_module()
class TaskMixture:
    """Samples of several data sets, which take turns until each has given all of its own.

    A sample's inputs become a dict with the modality of its task, and its data sample says ``task`` and
    ``modalities``. Samples of :class:`.PairedModalities` have their modalities already. An item without a data sample,
    a window of a series for example, is as a whole what its model reads.

    Args:
        datasets: by task, a data set or its config. A task of one modality has that modality's name.

    Raises:
        DataError: there is no data set, or one is empty.
    """

    def __init__(self, datasets: Mapping[str, Any]) -> None:
        self.datasets = {
            task: DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
            for task, dataset in datasets.items()
        }
        if not self.datasets:
            raise DataError("datasets={} has no task. Fix: one data set at least")
        self.full_init()

    def full_init(self) -> None:
        """Load the lists of samples, where that is put off, and lay down whose turn it is."""
        for task, dataset in self.datasets.items():
            if isinstance(dataset, BaseDataset):
                dataset.full_init()
            if not len(dataset):
                raise DataError(f"the data set of task {task!r} is empty")
        turns = zip_longest(*([(task, at) for at in range(len(one))] for task, one in self.datasets.items()))
        self._places = [place for turn in turns for place in turn if place is not None]

    @property
    def metainfo(self) -> dict[str, Any]:
        """The tasks, and by task what its data set says of itself."""
        return {"tasks": tuple(self.datasets)} | {task: one.metainfo for task, one in self.datasets.items()}

    def task_of(self, index: int) -> str:
        """Return the task of a sample."""
        return self._places[index][0]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        task, at = self._places[index]
        item = self.datasets[task][at]
        if "data_samples" not in item:
            item = {"inputs": item, "data_samples": DataSample()}
        inputs, sample = item["inputs"], item["data_samples"]
        if "modalities" not in sample:
            inputs = {task: inputs}
            sample.set_metainfo(dict(modalities=(task,)))
        sample.set_metainfo(dict(task=task))
        return {"inputs": inputs, "data_samples": sample}
