"""The resized position table: its numbers and its gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmrepro.dense.position_embedding import PositionEmbedding


@pytest.fixture
def table():
    return nn.Parameter(torch.randn(1, 17, 6))


@pytest.fixture
def positions():
    return PositionEmbedding(64, 16, class_row=True)


def test_the_class_row_is_skipped_and_the_rest_resized_as_a_map(table, positions):
    maps = table[:, 1:].transpose(1, 2).reshape(1, 6, 4, 4)
    expected = F.interpolate(maps, (6, 10), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    assert torch.equal(positions.resized(table, 6, 10), expected)


def test_at_its_own_size_resizing_is_the_identity(table, positions):
    maps = table[:, 1:].transpose(1, 2).reshape(1, 6, 4, 4)
    through_bicubic = F.interpolate(maps, (4, 4), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    assert torch.equal(positions.resized(table, 4, 4), through_bicubic)


def test_a_table_without_class_row_is_used_from_its_first_row():
    assert PositionEmbedding(64, 16, class_row=False).rows == 16


def test_gradients_reach_all_rows_but_the_class_tokens(table, positions):
    positions.resized(table, 6, 10).sum().backward()
    assert table.grad[:, 1:].abs().min() > 0
    assert table.grad[:, 0].abs().max() == 0


def test_a_size_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ValueError, match=r"pretrain_size=518 is no multiple of the patch, 16 pixels: .* DINOv2"):
        PositionEmbedding(518, 16, class_row=True)
