"""Windows of token maps: where tokens go, and the way back."""

import pytest
import torch

from mm_vit_comer.models.windows import merge, partition


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
