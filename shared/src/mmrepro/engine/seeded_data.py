"""Batches whose random augmentation depends on the seed, the epoch, the rank and the batch's number, nothing else.

So a run can go on from any batch without drawing the earlier ones again, and 0 and 2 workers give the same batches.
mmengine seeds its workers alike in every epoch, which repeats the augmentation; this mends that as well.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import BatchSampler

from . import random_state


class SeededIndices(NamedTuple):
    """The indices of one batch, and the key that seeds the drawing of its samples."""

    key: tuple[int, ...]
    indices: list[int]


@DATASETS.register_module()
class SeededDataset:
    """A map-style data set that seeds each batch by the key which :class:`SeededBatchSampler` sends along.

    Every attribute that is not found here is the wrapped data set's.

    Args:
        dataset: the data set, or its config.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    def __getattr__(self, name: str) -> Any:
        # Pickling for a spawned worker asks for dunder methods, and unpickling does before the data set is there.
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, batch: SeededIndices) -> Any:
        with random_state.seeded(*batch.key):
            if hasattr(self.dataset, "__getitems__"):
                return self.dataset.__getitems__(batch.indices)
            return [self.dataset[index] for index in batch.indices]


@DATA_SAMPLERS.register_module()
class SeededBatchSampler:
    """Yields the batches of a sampler with their keys, from any batch of an epoch on.

    Args:
        sampler: the sampler of single indices.
        batch_size: samples per batch and process.
        drop_last: leave out a last batch that is not full; only without ``batch_sampler``.
        batch_sampler: config of a batch sampler to take the batches from, instead of torch's.
        seed: the run's seed.
    """

    def __init__(
        self, sampler: Any, batch_size: int, drop_last: bool = False, batch_sampler: dict | None = None, seed: int = 0
    ) -> None:
        self.sampler, self.batch_size, self.drop_last, self.seed = sampler, batch_size, drop_last, seed
        if batch_sampler is None:
            self.batches = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batches = DATA_SAMPLERS.build(batch_sampler, default_args=dict(sampler=sampler, batch_size=batch_size))
        self._epoch, self._skip = 0, 0

    def start(self, epoch: int, skip: int = 0) -> None:
        """Make the next pass the one of ``epoch``, without its first ``skip`` batches."""
        self._epoch, self._skip = epoch, skip
        if isinstance(self.sampler, InfiniteSampler):  # its one stream ends for good when an iterator is dropped
            self.sampler.indices = self.sampler._indices_of_rank()
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def reseed(self, seed: int) -> None:
        """Use the seed of the run that is resumed, here and in the sampler."""
        self.seed = seed
        if hasattr(self.sampler, "seed"):
            self.sampler.seed = seed

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[SeededIndices]:
        epoch, rank, number = self._epoch, get_rank(), self._skip
        # A sampler that draws its order from the global generator does it when it is asked for the first index: here,
        # under the seed of this epoch.
        with random_state.seeded(self.seed, epoch):
            batches = iter(self.batches)
            for _ in range(number):
                next(batches, None)
            indices = next(batches, None)
        while indices is not None:
            yield SeededIndices((self.seed, epoch, rank, number), indices)
            indices, number = next(batches, None), number + 1


def seeded_dataloader(dataloader: dict, seed: int) -> dict:
    """Return a dataloader's config with its data set and its batches seeded.

    Raises:
        TypeError: the dataloader is built already.
    """
    if not isinstance(dataloader, dict):
        raise TypeError("a resumable loop builds its own dataloader: give train_dataloader as a config")
    seeded = copy.deepcopy(dataloader)
    seeded["dataset"] = dict(type="SeededDataset", dataset=seeded["dataset"])
    seeded["batch_sampler"] = dict(
        type="SeededBatchSampler",
        batch_sampler=seeded.pop("batch_sampler", None),
        drop_last=seeded.pop("drop_last", False),
        seed=seed,
    )
    return seeded
