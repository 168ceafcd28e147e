"""Windows of token maps: where tokens go, the way back, and relative positions inside them."""

import pytest
import torch

from mmrepro.ops.windows import merge, partition, relative_position_index, table_rows


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
