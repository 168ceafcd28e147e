"""PSANet's masks served for mmcv: against a direct loop, and finite differences."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import Function

from mmrepro.ops.ext import psamask as ext


class PSAMask(Function):
    """Calls the operators as mmcv's autograd function does."""

    @staticmethod
    def forward(ctx, masks, kind, mask_size):
        batch, _, height, width = ctx.shape = masks.shape
        ctx.arguments = dict(psa_type=kind, num_=batch, h_feature=height, w_feature=width)
        ctx.arguments |= dict(h_mask=mask_size[0], w_mask=mask_size[1])
        ctx.arguments |= dict(half_h_mask=(mask_size[0] - 1) // 2, half_w_mask=(mask_size[1] - 1) // 2)
        maps = masks.new_zeros(batch, height * width, height, width)
        assert ext.psamask_forward(masks, maps, **ctx.arguments) is None
        return maps

    @staticmethod
    def backward(ctx, grad):
        grad_masks = grad.new_zeros(ctx.shape)
        ext.psamask_backward(grad, grad_masks, **ctx.arguments)
        return grad_masks, None, None


def pairs(size: tuple, mask_size: tuple):
    """The indices of a mask's element and of its place in the collected map."""
    (height, width), (rows, columns) = size, mask_size
    for h, w, row, column in itertools.product(range(height), range(width), range(rows), range(columns)):
        y, x = h + row - (rows - 1) // 2, w + column - (columns - 1) // 2
        if 0 <= y < height and 0 <= x < width:
            yield (row * columns + column, h, w), (y * width + x, h, w), (h * width + w, y, x)


sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))


@pytest.mark.parametrize("kind", [0, 1])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(batch=st.integers(1, 2), size=sizes, mask_size=sizes, seed=st.integers(0, 99))
def test_is_the_direct_loop_and_keeps_what_no_mask_reaches(kind, batch, size, mask_size, seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randn(batch, mask_size[0] * mask_size[1], *size, generator=generator)
    maps = torch.randn(batch, size[0] * size[1], *size, generator=generator)
    expected_maps, expected_masks = maps.clone(), masks.clone()
    for mask, *places in pairs(size, mask_size):
        expected_maps[(slice(None), *places[kind])] = masks[(slice(None), *mask)]
        expected_masks[(slice(None), *mask)] = maps[(slice(None), *places[kind])]
    halves = ((mask_size[0] - 1) // 2, (mask_size[1] - 1) // 2)
    moved_maps, moved_masks = maps.clone(), masks.clone()
    ext.psamask_forward(masks, moved_maps, kind, batch, *size, *mask_size, *halves)
    ext.psamask_backward(maps, moved_masks, kind, batch, *size, *mask_size, *halves)
    torch.testing.assert_close(moved_maps, expected_maps, rtol=0, atol=0)
    torch.testing.assert_close(moved_masks, expected_masks, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [0, 1])
def test_gradients_are_finite_differences(kind):
    masks = torch.randn(2, 15, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda one: PSAMask.apply(one, kind, (5, 3)), masks)


@pytest.mark.parametrize("kind", [0, 1])
def test_the_layout_in_memory_does_not_matter(kind):
    masks = torch.randn(2, 9, 4, 3)
    expected = PSAMask.apply(masks, kind, (3, 3))
    strided = masks.to(memory_format=torch.channels_last)
    torch.testing.assert_close(PSAMask.apply(strided, kind, (3, 3)), expected, rtol=0, atol=0)


def test_wrong_arguments_are_named():
    masks, maps = torch.zeros(1, 9, 2, 2), torch.zeros(1, 4, 2, 2)

    def call(masks: Tensor = masks, maps: Tensor = maps, kind: int = 0) -> None:
        ext.psamask_forward(masks, maps, kind, 1, 2, 2, 3, 3, 1, 1)

    call()
    with pytest.raises(ValueError, match=r"masks have the shape \(1, 9, 2, 2\), got \(1, 8, 2, 2\)"):
        call(masks=masks[:, 1:])
    with pytest.raises(ValueError, match=r"maps have the shape \(1, 4, 2, 2\), got \(1, 4, 2, 1\)"):
        call(maps=maps[..., :1])
    with pytest.raises(ValueError, match=r"0 \(collect\) or 1 \(distribute\), got 2"):
        call(kind=2)
