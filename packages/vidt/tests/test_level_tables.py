"""Tables of levels under tracers; that they are kept otherwise is among the detector's tests."""

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from mm_vidt.models.level_tables import LevelTables


def test_no_table_of_a_tracer_is_kept():
    tables, maps = LevelTables(), [torch.zeros(1, 2, 4, 6), torch.zeros(1, 2, 2, 3)]
    with FakeTensorMode() as mode:
        assert isinstance(tables([mode.from_tensor(one) for one in maps])[0], FakeTensor)
    shapes, starts = tables(maps)
    assert (shapes.tolist(), starts.tolist()) == ([[4, 6], [2, 3]], [0, 24])
