"""The batches of the published evaluation, whatever number of GPUs there is: padding to a common size changes results.

naver-ai/vidt @ a8c48b5 evaluates on 8 GPUs with 2 pictures each; GPU r gets pictures r, r + 8, r + 16, ...
"""

from __future__ import annotations

from collections.abc import Iterator

from mmdet.registry import DATA_SAMPLERS
from mmengine.dist import get_world_size
from torch.utils.data import BatchSampler, Sampler


@DATA_SAMPLERS.register_module()
class PublishedBatches(BatchSampler):
    """Batches of the pictures that one GPU of eight would get, those of one after those of the other.

    Args:
        sampler: mmengine's ``DefaultSampler`` without shuffling, in the order of ids.
        batch_size: pictures of a batch.
        gpus: how many are imitated.

    Raises:
        ValueError: this run's processes cannot share their work evenly.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int, gpus: int = 8) -> None:
        super().__init__(sampler, batch_size, drop_last=False)
        if gpus % get_world_size():
            raise ValueError(
                f"{get_world_size()} processes cannot give the batches of {gpus} GPUs. Fix: a divisor of {gpus}, or "
                "leave batch_sampler out for batches of neighbours"
            )
        self.imitated = gpus // get_world_size()

    def __iter__(self) -> Iterator[list[int]]:
        own = list(self.sampler)
        for first in range(self.imitated):
            yield from _batches(own[first :: self.imitated], self.batch_size)

    def __len__(self) -> int:
        count = len(self.sampler)
        parts = (len(range(first, count, self.imitated)) for first in range(self.imitated))
        return sum(-(-part // self.batch_size) for part in parts)


def _batches(indices: list[int], size: int) -> Iterator[list[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))
