"""The pool of training pairs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mm_hat.datasets.pair_pool import PairPool, PairPoolHook


def batch(first: int, size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pairs that are full of their own number."""
    numbers = torch.arange(first, first + size, dtype=torch.float32).view(-1, 1, 1, 1)
    return numbers.expand(size, 3, 2, 2), numbers.expand(size, 3, 8, 8)


def numbers(pairs: tuple[torch.Tensor, torch.Tensor]) -> list[float]:
    """Return the numbers of pairs, which must be the same in both pictures of each."""
    assert torch.equal(pairs[0][:, 0, 0, 0], pairs[1][:, 0, 0, 0])
    return pairs[0][:, 0, 0, 0].tolist()


def test_pairs_pass_until_the_pool_is_full():
    pool = PairPool(4)
    assert numbers(pool.exchange(*batch(0))) == [0, 1]
    assert numbers(pool.exchange(*batch(2))) == [2, 3]


def test_then_each_pair_comes_out_once_and_none_is_lost():
    torch.manual_seed(0)
    pool = PairPool(6)
    for first in (0, 2, 4):
        pool.exchange(*batch(first))
    inside, mixed = set(range(6)), False
    for first in range(6, 40, 2):
        out = numbers(pool.exchange(*batch(first)))
        assert set(out) <= inside
        mixed = mixed or out[1] - out[0] != 1
        inside = inside - set(out) | {first, first + 1}
    assert mixed
    assert set(numbers((pool.lq, pool.gt))) == inside


def test_it_gives_the_pairs_of_a_pool_that_is_shuffled_itself():
    torch.manual_seed(5)
    pool, stored = PairPool(6), torch.arange(6.0)
    for first in (0, 2, 4):
        pool.exchange(*batch(first))
    ours = [numbers(pool.exchange(*batch(first))) for first in range(6, 30, 2)]
    torch.manual_seed(5)
    expected = []
    for first in range(6, 30, 2):
        stored = stored[torch.randperm(6)]
        expected.append(stored[:2].tolist())
        stored[:2] = torch.tensor([first, first + 1.0])
    assert ours == expected


def test_the_pairs_given_out_are_not_the_pools_memory():
    pool = PairPool(2)
    pool.exchange(*batch(0))
    lq, _ = pool.exchange(*batch(2))
    lq.fill_(99)
    assert 99 not in pool.lq


def test_a_size_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="queue_size=5 must be a multiple of the batch size 2"):
        PairPool(5).exchange(*batch(0))
    with pytest.raises(ValueError, match="holds nothing"):
        PairPool(0)
    pool = PairPool(4)
    pool.exchange(*batch(0))
    with pytest.raises(ValueError, match=r"lq has the shape \(3, 1, 1\), the pool \(3, 2, 2\)"):
        pool.exchange(batch(0)[0][..., :1, :1], batch(0)[1])


class Model(nn.Module):
    """A model with a pool inside."""

    def __init__(self, size: int = 4):
        super().__init__()
        self.part = nn.Module()
        self.part.pool = PairPool(size)
        self.part.device = torch.device("cpu")


def continued(pool: PairPool) -> list[list[float]]:
    torch.manual_seed(9)
    return [numbers(pool.exchange(*batch(first))) for first in range(100, 110, 2)]


@pytest.mark.parametrize("batches", [0, 1, 4])
def test_a_resumed_pool_goes_on_like_the_old_one(batches, tmp_path):
    old, new, checkpoint = Model(), Model(), {}
    for i in range(batches):
        old.part.pool.exchange(*batch(2 * i))
    PairPoolHook().before_save_checkpoint(SimpleNamespace(model=old), checkpoint)
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    expected = continued(old.part.pool)
    stored = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    PairPoolHook().after_load_checkpoint(SimpleNamespace(model=new, _resume=True), stored)
    assert continued(new.part.pool) == expected


def test_the_first_process_alone_resumes_with_its_pairs(monkeypatch):
    """Else all would train on the same ones."""
    old, new, checkpoint = Model(), Model(), {}
    old.part.pool.exchange(*batch(0))
    PairPoolHook().before_save_checkpoint(SimpleNamespace(model=old), checkpoint)
    monkeypatch.setattr("mm_hat.datasets.pair_pool.is_main_process", lambda: False)
    PairPoolHook().after_load_checkpoint(SimpleNamespace(model=new, _resume=True), checkpoint)
    assert new.part.pool.filled == 0


def test_fine_tuning_begins_with_an_empty_pool():
    old, new, checkpoint = Model(), Model(), {}
    old.part.pool.exchange(*batch(0))
    PairPoolHook().before_save_checkpoint(SimpleNamespace(model=old), checkpoint)
    PairPoolHook().after_load_checkpoint(SimpleNamespace(model=new, _resume=False), checkpoint)
    assert new.part.pool.filled == 0


def test_a_pool_of_another_size_is_not_resumed():
    old, checkpoint = Model(4), {}
    PairPoolHook().before_save_checkpoint(SimpleNamespace(model=old), checkpoint)
    with pytest.raises(ValueError, match="pool of 4 pairs, queue_size is 6"):
        PairPoolHook().after_load_checkpoint(SimpleNamespace(model=Model(6), _resume=True), checkpoint)
