"""Resizing of public weights: what a size means, what is left alone, what is refused. Values are a parity case."""

import pytest
import torch

from mm_vit_comer.pretrained_resize import resize_grid, resize_patch_kernel, resize_relative_table, window_of


def test_weights_that_fit_are_left_alone():
    table, kernel, grid = torch.randn(27 * 27, 2), torch.randn(4, 3, 16, 16), torch.randn(1, 9, 4)
    assert torch.equal(resize_relative_table(table, 14), table)
    assert torch.equal(resize_patch_kernel(kernel, 16), kernel)
    assert torch.equal(resize_grid(grid, (3, 3)), grid)


def test_rows_of_a_class_token_are_left_out():
    table = torch.randn(27 * 27 + 3, 2)
    assert torch.equal(resize_relative_table(table, 14), table[:-3])


def test_a_grid_keeps_its_rows_and_columns_apart():
    columns = torch.arange(4.0).repeat(4, 1).reshape(1, 16, 1)  # the same in every row
    resized = resize_grid(columns, (2, 8)).view(2, 8)
    assert torch.equal(resized[0], resized[1])
    assert (resized[0].diff() > 0).all()


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
    assert resize_grid(torch.randn(1, 4, 2).half(), (3, 3)).dtype == torch.float16
    assert resize_patch_kernel(torch.randn(2, 3, 14, 14).half(), 16).dtype == torch.float16


def test_windows_are_known_by_rows():
    assert [window_of(rows) for rows in (729, 732, 1, 4, 12, 730, 0)] == [14, 14, 1, 1, 2, None, None]


def test_misshapen_tables_are_refused():
    with pytest.raises(ValueError, match="730 rows is that of no square window"):
        resize_relative_table(torch.zeros(730, 2), 7)
    with pytest.raises(ValueError, match="windows of 2 x 2 tokens has too few rows"):
        resize_relative_table(torch.zeros(9, 2), 7)
    with pytest.raises(ValueError, match="10 rows is not one of a square grid"):
        resize_grid(torch.zeros(1, 10, 2), (2, 2))
