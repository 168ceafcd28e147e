"""Batches whose samples belong to several tasks and have several modalities, or lack some."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import FUNCTIONS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mm_meta_transformer.models.data_preprocessor import SampleDataPreprocessor


class TaskBatch(NamedTuple):
    """The samples of a batch that belong to one task.

    Attributes:
        inputs: by modality, what its tokenizer reads, or its model as keywords, of the samples that have it.
        rows: by modality, which of the task's samples have it, ``(b,)``.
        places: of the task's samples in the whole batch.
        data_samples: of these samples, or ``None``.
    """

    inputs: dict[str, Any]
    rows: dict[str, Tensor]
    places: list[int]
    data_samples: list[DataSample] | None


@FUNCTIONS.register_module()
def collate_as_lists(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Collate items to lists and look no deeper: their inputs may have different modalities."""
    return {key: [item[key] for item in items] for key in items[0]}


class UnifiedDataPreprocessor(BaseDataPreprocessor):
    """Group a batch by task and modality, and let each modality's own preprocessor collate its part.

    Args:
        parts: by modality, its preprocessor.
        fused: tasks of samples with several modalities.
        keywords: modalities whose model reads a batch as keywords; values of None are left out.

    Raises:
        ValueError: the batch is not collated as lists, or a sample has no modality, an unknown one or an unknown task.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], fused: Sequence[str] = (), keywords: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.parts, self.fused, self.keywords = nn.ModuleDict(parts), tuple(fused), frozenset(keywords)
        self.stack = SampleDataPreprocessor()

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return ``inputs``, a :class:`TaskBatch` by task, and ``data_samples`` in the order of the batch.

        Args:
            data: ``inputs``, a list with, for each sample, its inputs by modality, and maybe ``data_samples``. A
                sample's ``task`` is that of its data sample; without it a sample of one modality is of the task of
                that name, any other of the only fused task.
            training: passed to the parts, but in fused tasks: a part that mixes samples, as mixup does, knows nothing
                of their other modalities.
        """
        inputs = data["inputs"]
        if not isinstance(inputs, Sequence):
            raise ValueError("the batch is not a list of samples. Fix: collate_fn=dict(type='collate_as_lists')")
        samples = self.cast_data(data.get("data_samples"))
        places: dict[str, list[int]] = {}
        for place, one in enumerate(inputs):
            places.setdefault(self._task(place, one, samples), []).append(place)
        batches = {
            task: self._batch(inputs, samples, of_task, training and task not in self.fused)
            for task, of_task in places.items()
        }
        if samples is not None:  # a part may have changed its samples: mixed labels, for example
            for batch in batches.values():
                for place, sample in zip(batch.places, batch.data_samples, strict=True):
                    samples[place] = sample
        return {"inputs": batches, "data_samples": samples}

    def _task(self, place: int, inputs: Mapping[str, Any], samples: list[DataSample] | None) -> str:
        absent = [modality for modality in inputs if modality not in self.parts]
        if absent or not inputs:
            what = f"the unknown modality {absent[0]!r}" if absent else "no modality"
            raise ValueError(f"sample {place} of the batch has {what}. Fix: some of {', '.join(self.parts)}")
        task = None if samples is None else samples[place].get("task")
        if task is None:
            if len(inputs) > 1 and len(self.fused) != 1:
                raise ValueError(
                    f"sample {place} of the batch has {', '.join(inputs)} and no task. Fix: task in its data sample, "
                    f"one of {', '.join(self.fused) or 'the tasks in fused of the model'}"
                )
            return next(iter(inputs)) if len(inputs) == 1 else self.fused[0]
        if task not in self.fused and set(inputs) != {task}:
            known = ", ".join((*self.parts, *self.fused))
            raise ValueError(f"sample {place} of the batch has task {task!r} and {', '.join(inputs)}; tasks: {known}")
        return task

    def _batch(
        self, inputs: list[Mapping[str, Any]], samples: list[DataSample] | None, places: list[int], training: bool
    ) -> TaskBatch:
        modalities = [modality for modality in self.parts if any(modality in inputs[place] for place in places)]
        chosen = None if samples is None else [samples[place] for place in places]
        rows, batches = {}, {}
        for modality in modalities:
            having = [row for row, place in enumerate(places) if modality in inputs[place]]
            rows[modality] = torch.tensor(having, device=self.device)
            mine = [inputs[places[row]][modality] for row in having]
            if modality in self.keywords:
                batches[modality] = self.parts[modality](self._stacked(mine), training)
                continue
            data = {"inputs": pseudo_collate(mine)}
            data["data_samples"] = None if chosen is None else [chosen[row] for row in having]
            collated = self.parts[modality](data, training)
            batches[modality] = collated["inputs"]
            if len(modalities) == 1:
                chosen = collated["data_samples"]
        return TaskBatch(batches, rows, places, chosen)

    def _stacked(self, windows: list[Mapping[str, Any]]) -> dict[str, Tensor]:
        given = [{key: value for key, value in window.items() if value is not None} for window in windows]
        return self.stack({"inputs": given})["inputs"]
