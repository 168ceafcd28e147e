"""Masked convolution served for mmcv: against the convolution of the whole image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrepro.ops.ext import masked_conv as ext

FEW = settings(max_examples=30, deadline=None, derandomize=True)


@FEW
@given(
    channels=st.integers(1, 3),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    radius=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    part=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_is_the_convolution_at_the_masks_positions(channels, size, radius, part, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, channels, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, channels, *(2 * one + 1 for one in radius), generator=generator, dtype=torch.float64)
    mask = torch.rand(size, generator=generator) <= part
    rows, columns = mask.nonzero(as_tuple=True)
    kernel, positions = weight[0, 0].numel(), len(rows)

    windows = torch.full((channels * kernel, positions), torch.nan, dtype=torch.float64)
    ext.masked_im2col_forward(
        image,
        rows,
        columns,
        windows,
        kernel_h=weight.shape[2],
        kernel_w=weight.shape[3],
        pad_h=radius[0],
        pad_w=radius[1],
    )
    output = torch.full((1, 4, *size), 7.0, dtype=torch.float64)
    ext.masked_col2im_forward(
        weight.flatten(1) @ windows, rows, columns, output, height=size[0], width=size[1], channels=4
    )
    expected = torch.where(mask, F.conv2d(image, weight, padding=radius), 7.0)
    # 1e-12: sums of at most 75 products of size one in another order
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_the_padding_may_differ_from_half_of_the_kernel():
    image = torch.arange(6.0).view(1, 1, 2, 3)
    everywhere = torch.ones(2, 3).nonzero(as_tuple=True)
    windows = torch.empty(6, 6)
    ext.masked_im2col_forward(image, *everywhere, windows, 3, 2, 0, 1)
    padded = F.pad(image, (1, 0, 0, 2))
    torch.testing.assert_close(windows, F.unfold(padded, (3, 2))[0], rtol=0, atol=0)


def test_a_value_that_is_not_finite_does_not_reach_the_padding():
    image, corner, windows = torch.full((1, 1, 2, 2), torch.nan), torch.tensor([0]), torch.empty(9, 1)
    ext.masked_im2col_forward(image, corner, corner, windows, 3, 3, 1, 1)
    expected = torch.tensor([[0, 0, 0], [0, torch.nan, torch.nan], [0, torch.nan, torch.nan]])
    torch.testing.assert_close(windows.view(3, 3), expected, equal_nan=True)


def test_wrong_arguments_are_named():
    image, position = torch.zeros(1, 2, 4, 4), torch.tensor([1])
    with pytest.raises(ValueError, match="im is one image"):
        ext.masked_im2col_forward(torch.zeros(2, 2, 4, 4), position, position, torch.zeros(18, 1), 3, 3, 1, 1)
    with pytest.raises(ValueError, match=r"col has the shape \(18, 1\) .* got \(18, 2\)"):
        ext.masked_im2col_forward(image, position, position, torch.zeros(18, 2), 3, 3, 1, 1)
    with pytest.raises(ValueError, match=r"im has the shape \(1, 3, 4, 4\)"):
        ext.masked_col2im_forward(torch.zeros(3, 1), position, position, image, 4, 4, 3)
    with pytest.raises(IndexError, match="out of bounds"):
        ext.masked_col2im_forward(torch.zeros(2, 1), position + 3, position, image, 4, 4, 2)
