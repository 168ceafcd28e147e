"""Batches of pictures with similar shapes, so that little of a batch is padding.

Source: xiuqhou/Relation-DETR @ b485955, which groups as torchvision's detection reference does. The official group of
an image is taken from a list of another length, so later images get those of others; here each gets its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle, islice

from mmdet.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, Sampler


@DATA_SAMPLERS.register_module()
class AspectRatioGroupBatchSampler(BatchSampler):
    """Batches of one aspect ratio group each; what is left at the end is filled up with images seen before.

    Not mmdet's ``AspectRatioBatchSampler``: that has two groups and mixes them in its last batches. Every process
    yields ``len(sampler) // batch_size`` batches.

    Args:
        sampler: of single indices, with the data set as its attribute ``dataset``.
        batch_size: samples per batch and process.
        groups_per_side: k; bounds at ``2 ** (i / k)`` for i from -k to k make 2k + 2 groups.

    Raises:
        ValueError: there are fewer samples than a batch has.
    """

    def __init__(self, sampler: Sampler, batch_size: int, groups_per_side: int = 3) -> None:
        super().__init__(sampler, batch_size, drop_last=True)
        if len(sampler) < batch_size:
            raise ValueError(
                f"a process has {len(sampler)} images for batches of {batch_size}. Fix: a smaller batch_size"
            )
        self.groups_per_side = groups_per_side
        self._group_of: dict[int, int] = {}

    def __iter__(self) -> Iterator[list[int]]:
        waiting: dict[int, list[int]] = defaultdict(list)
        seen: dict[int, list[int]] = defaultdict(list)
        remaining = len(self)
        for index in self.sampler:
            group = self._group(index)
            waiting[group].append(index)
            seen[group].append(index)
            if len(waiting[group]) == self.batch_size:
                yield waiting.pop(group)
                remaining -= 1
        # The fullest first: fewest repetitions.
        fullest = sorted(waiting, key=lambda group: len(waiting[group]), reverse=True)
        for group in fullest[:remaining]:
            missing = self.batch_size - len(waiting[group])
            yield waiting[group] + list(islice(cycle(seen[group]), missing))

    def _group(self, index: int) -> int:
        if index not in self._group_of:
            info = self.sampler.dataset.get_data_info(index)
            self._group_of[index] = aspect_group(info["width"], info["height"], self.groups_per_side)
        return self._group_of[index]


def aspect_group(width: float, height: float, groups_per_side: int = 3) -> int:
    """Return the group of a shape, 0 for the tallest."""
    steps = range(-groups_per_side, groups_per_side + 1)
    return bisect_right([2 ** (step / groups_per_side) for step in steps], width / height)
