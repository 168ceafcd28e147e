"""Resizing of public weights: what a size means, what is left alone, what is refused. Values are a parity case."""

import pytest
import torch

from mm_vit_comer.pretrained_resize import resize_relative_table, window_of


def test_a_table_that_fits_is_left_alone():
    table = torch.randn(27 * 27, 2)
    assert torch.equal(resize_relative_table(table, 14), table)


def test_rows_of_a_class_token_are_left_out():
    table = torch.randn(27 * 27 + 3, 2)
    assert torch.equal(resize_relative_table(table, 14), table[:-3])


@pytest.mark.parametrize("window", [3, 9])
def test_a_constant_bias_stays_constant(window):
    table = torch.tensor([[1.5, -2.0]]).repeat(11 * 11, 1)
    resized = resize_relative_table(table, window)
    assert resized.shape == ((2 * window - 1) ** 2, 2)
    torch.testing.assert_close(resized, table[:1].expand_as(resized))


def test_near_offsets_keep_their_bias():
    torch.manual_seed(0)
    table = torch.randn(11 * 11, 1)
    resized = resize_relative_table(table, 9).view(17, 17)
    middle = table.view(11, 11)[4:7, 4:7]  # offsets -1, 0, 1 are knots of the spline
    torch.testing.assert_close(resized[7:10, 7:10], middle)


def test_the_type_is_kept():
    assert resize_relative_table(torch.randn(81, 2).half(), 3).dtype == torch.float16


def test_windows_are_known_by_rows():
    assert [window_of(rows) for rows in (729, 732, 1, 4, 12, 730, 0)] == [14, 14, 1, 1, 2, None, None]


def test_misshapen_tables_are_refused():
    with pytest.raises(ValueError, match="730 rows is that of no square window"):
        resize_relative_table(torch.zeros(730, 2), 7)
    with pytest.raises(ValueError, match="windows of 2 x 2 tokens has too few rows"):
        resize_relative_table(torch.zeros(9, 2), 7)
