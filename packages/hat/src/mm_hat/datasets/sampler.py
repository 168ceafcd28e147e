"""The order in which the official training visits its images.

BasicSR's ``basicsr/data/data_sampler.py`` (8d56e3a) repeats the data set ``ratio`` times within an epoch, shuffles by
the epoch's number alone, and deals the indices out to the processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module(name="SREnlargedSampler")
class EnlargedSampler(Sampler[int]):
    """A shuffled pass over a data set that counts as several.

    Epoch ``e`` takes a permutation of all its samples, drawn from the seed ``seed + e``, modulo the data set's length;
    process ``rank`` takes every ``world``-th of them. So an image may come twice before another comes once. The
    official order is that of seed 0.

    Args:
        dataset: what is sampled.
        ratio: passes over the data set that make one epoch.
        seed: added to the epoch.
        rank, world: this process and their number; by default those of the running job.

    Raises:
        ValueError: the ratio is not positive.
    """

    def __init__(
        self, dataset: Sized, ratio: int = 1, seed: int | None = 0, rank: int | None = None, world: int | None = None
    ) -> None:
        if ratio < 1:
            raise ValueError(f"the ratio must be 1 or more, not {ratio}")
        own_rank, own_world = get_dist_info()
        self.dataset, self.seed, self.epoch = dataset, seed or 0, 0
        self.rank = own_rank if rank is None else rank
        self.world = own_world if world is None else world
        self.num_samples = math.ceil(len(dataset) * ratio / self.world)

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(self.seed + self.epoch)
        drawn = torch.randperm(self.num_samples * self.world, generator=random) % len(self.dataset)
        return iter(drawn[self.rank :: self.world].tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next pass takes."""
        self.epoch = epoch
