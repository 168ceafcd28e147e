"""Tables of levels: their values, when they are made, and tracers, which leave nothing behind."""

import copy

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from mmrepro.detection.level_tables import KeptTables, shapes_and_starts

MAPS = [torch.zeros(1, 2, 4, 6), torch.zeros(1, 2, 2, 3)]


def test_tables_are_kept_until_sizes_change():
    tables = KeptTables(shapes_and_starts)
    shapes, starts = first = tables(MAPS)
    assert (shapes.tolist(), starts.tolist()) == ([[4, 6], [2, 3]], [0, 24])
    assert tables([one.new_ones(5, 1, *one.shape[2:]) for one in MAPS]) is first
    assert tables(MAPS[::-1])[0].tolist() == [[2, 3], [4, 6]]


def test_tables_of_inference_serve_training():
    tables = KeptTables(lambda maps: torch.ones(len(maps)))
    with torch.inference_mode():
        made = tables(MAPS)
    assert tables(MAPS) is made
    weight = torch.ones(2, requires_grad=True)
    (weight * made).sum().backward()
    assert weight.grad.tolist() == [1, 1]


def test_no_table_of_a_tracer_is_kept():
    tables = KeptTables(shapes_and_starts)
    with FakeTensorMode() as mode:
        assert isinstance(tables([mode.from_tensor(one) for one in MAPS])[0], FakeTensor)
    assert type(tables(MAPS)[0]) is torch.Tensor


def test_a_copy_of_the_owner_keeps_tables_of_its_own():
    tables = KeptTables(shapes_and_starts)
    kept = tables(MAPS)
    again = copy.deepcopy(tables)
    again(MAPS[:1])
    assert tables(MAPS) is kept
