"""A ViT's weights at another size: what is left alone, what is kept, what is refused."""

import pytest
import torch

from mmrepro.dense.vit_resize import resize_grid, resize_patch_kernel


def test_weights_that_fit_are_left_alone():
    kernel, grid = torch.randn(4, 3, 16, 16), torch.randn(1, 9, 4)
    assert torch.equal(resize_patch_kernel(kernel, 16), kernel)
    assert torch.equal(resize_grid(grid, (3, 3)), grid)


def test_a_grid_keeps_its_rows_and_columns_apart():
    columns = torch.arange(4.0).repeat(4, 1).reshape(1, 16, 1)  # the same in every row
    resized = resize_grid(columns, (2, 8)).view(2, 8)
    assert torch.equal(resized[0], resized[1])
    assert (resized[0].diff() > 0).all()


def test_the_type_is_kept():
    assert resize_grid(torch.randn(1, 4, 2).half(), (3, 3)).dtype == torch.float16
    assert resize_patch_kernel(torch.randn(2, 3, 14, 14).half(), 16).dtype == torch.float16


def test_a_table_of_no_square_is_refused():
    with pytest.raises(ValueError, match="10 rows is not one of a square grid"):
        resize_grid(torch.zeros(1, 10, 2), (2, 2))
