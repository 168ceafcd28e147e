"""The batches of the official evaluation: the same pairs whatever number of processes there is."""

import pytest
from mmdet.registry import DATA_SAMPLERS

from mm_vidt.datasets import published_batches
from mm_vidt.datasets.published_batches import PublishedBatches


def test_pictures_eight_apart_are_tested_together_and_each_once():
    batches = list(PublishedBatches(range(40), 2))
    assert batches[:4] == [[0, 8], [16, 24], [32], [1, 9]]
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    assert len(PublishedBatches(range(40), 2)) == len(batches) == 24
    assert len(PublishedBatches(range(11), 2)) == len(list(PublishedBatches(range(11), 2)))


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_several_processes_share_the_same_batches(monkeypatch, processes):
    alone = sorted(PublishedBatches(range(48), 2))
    monkeypatch.setattr(published_batches, "get_world_size", lambda: processes)
    together = [batch for rank in range(processes) for batch in PublishedBatches(range(rank, 48, processes), 2)]
    assert sorted(together) == alone


def test_a_number_of_processes_that_cannot_is_refused(monkeypatch):
    monkeypatch.setattr(published_batches, "get_world_size", lambda: 3)
    with pytest.raises(ValueError, match="3 processes cannot give the batches of 8 GPUs"):
        DATA_SAMPLERS.build(dict(type="PublishedBatches", sampler=range(9), batch_size=2))
