"""Windows of token maps: where tokens go, the way back, masks of shifts, and relative positions inside."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from mmrepro.ops.windows import ShiftMasks, merge, partition, relative_position_index, table_rows


def test_tokens_lie_row_by_row_inside_windows_and_windows_row_by_row():
    maps = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    windows = partition(maps, 2)
    assert windows.shape == (2 * 6, 4, 1)
    assert windows[1].flatten().tolist() == [2, 3, 8, 9]  # the second of the first image's first row
    assert windows[6 + 3].flatten().tolist() == [36, 37, 42, 43]  # the first of the second image's second row


def test_what_is_missing_at_the_bottom_and_the_right_is_zero():
    windows = partition(torch.ones(1, 3, 4, 1), 3)
    assert windows[0].eq(1).all()
    assert windows[1].flatten().tolist() == [1, 0, 0] * 3


@pytest.mark.parametrize("size", [1, 3, 4, 5, 9])
def test_merging_undoes_the_cut(size):
    maps = torch.randn(2, 5, 8, 3)
    assert torch.equal(merge(partition(maps, size), size, 5, 8), maps)


def test_masks_separate_what_the_shift_brought_together():
    rows = torch.tensor([0, 0, 1, 1])  # of a lower window: row 3 and row 0, which was rolled there
    for shifts in ((1, 0), (1, 1)):
        mask = ShiftMasks(2)((4, 4), shifts, torch.zeros(1))
        assert mask.shape == (4, 4, 4)
        assert not mask[0].any()  # the first window holds neighbours
        assert torch.equal(mask[2] == -100, rows[:, None] != rows)
        assert (mask[3] == -100).sum() == (12 if all(shifts) else 8)


def test_a_mask_is_kept_for_a_size_and_serves_training_after_inference():
    masks, like = ShiftMasks(7), torch.zeros(1)
    with torch.inference_mode():
        mask = masks((14, 21), (3, 3), like)
    assert not mask.is_inference()
    assert masks((14, 21), (3, 3), like) is mask
    for other in (((14, 14), (3, 3), like), ((14, 21), (0, 3), like), ((14, 21), (3, 3), like.bfloat16())):
        assert masks(*other) is not masks((14, 21), (3, 3), like)


def test_no_mask_of_a_tracer_is_kept():
    masks, image = ShiftMasks(7), torch.zeros(1)
    expected = masks((14, 14), (3, 3), image)
    with FakeTensorMode() as mode:
        assert isinstance(masks((14, 14), (3, 3), mode.from_tensor(image)), FakeTensor)  # as torch.export traces
    assert masks((14, 14), (3, 3), image) is expected


def test_relative_positions_are_numbered_by_rows_of_the_table():
    index = relative_position_index(4).view(4, 4, 4, 4)  # (query y, query x, key y, key x)
    assert index[1, 2, 3, 0] == (1 - 3 + 3) * 7 + (2 - 0 + 3)
    assert index.unique().numel() == 49


def test_relative_positions_are_numbers_where_modules_are_built_on_the_meta_device():
    with torch.device("meta"):
        assert relative_position_index(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def test_queries_and_keys_may_be_of_windows_of_two_sizes():
    rows = table_rows(torch.tensor([[0, 1, 2], [1, 2, 3]]), row_length=10)
    assert rows.shape == (4, 9)
    assert rows[1].tolist() == [1, 2, 3, 11, 12, 13, 21, 22, 23]  # the second query of the first row
