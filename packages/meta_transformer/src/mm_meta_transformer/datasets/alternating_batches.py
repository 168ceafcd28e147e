"""Batches of one task each, the tasks one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, zip_longest
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS

from mm_meta_transformer.datasets.data_error import DataError


@DATA_SAMPLERS.register_module()
class AlternatingBatchSampler:
    """Batches of a :class:`.TaskMixture` whose samples all belong to one task; tasks take turns while they last.

    The sampler gives the data set, the seed, the epoch and whether to shuffle. Every process gets batches of the same
    tasks in the same order; as in mmengine, some samples are given twice where they cannot be shared evenly.

    Args:
        sampler: an mmengine ``DefaultSampler`` of the data set.
        batch_size: samples per batch and process; the last batch of a task may be smaller.
        drop_last: leave such batches out.

    Raises:
        DataError: the data set does not say which task a sample belongs to, or ``drop_last`` leaves out all of one.
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False) -> None:
        if not hasattr(sampler.dataset, "task_of"):
            raise DataError(f"{type(sampler.dataset).__name__} has no tasks to alternate. Fix: dataset TaskMixture")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self._tasks: dict[str, list[int]] = {}
        for index in range(len(sampler.dataset)):
            self._tasks.setdefault(sampler.dataset.task_of(index), []).append(index)
        for task, share in self._shares().items():
            if drop_last and share < batch_size:
                raise DataError(
                    f"drop_last leaves out all of task {task!r}: a process has {share} of its samples, and a batch "
                    f"{batch_size}. Fix: batch_size={share} at most, or drop_last=False"
                )

    def __len__(self) -> int:
        shares = self._shares().values()
        return sum(share // self.batch_size if self.drop_last else -(-share // self.batch_size) for share in shares)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.sampler.seed + self.sampler.epoch)
        turns = zip_longest(*(self._batches(indices, generator) for indices in self._tasks.values()))
        return (batch for turn in turns for batch in turn if batch is not None)

    def _shares(self) -> dict[str, int]:
        """Return by task how many samples each process gets."""
        world = get_dist_info()[1]
        return {task: -(-len(indices) // world) for task, indices in self._tasks.items()}

    def _batches(self, indices: list[int], generator: torch.Generator) -> list[list[int]]:
        rank, world = get_dist_info()
        if self.sampler.shuffle:
            indices = [indices[at] for at in torch.randperm(len(indices), generator=generator).tolist()]
        share = -(-len(indices) // world)
        mine = list(islice(cycle(indices), share * world))[rank::world]
        batches = [mine[at : at + self.batch_size] for at in range(0, share, self.batch_size)]
        return batches[:-1] if self.drop_last and len(batches[-1]) < self.batch_size else batches
