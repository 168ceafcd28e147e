"""RoI pooling against a direct loop over mmcv's bins, its gradients, and regions that cannot be pooled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import Function, gradcheck

from mmrepro.ops.ext.roi_pool import roi_pool_backward, roi_pool_forward

SIDES = st.integers(1, 3)


class RoIPool(Function):
    """The two operators as mmcv's autograd function calls them."""

    @staticmethod
    def forward(ctx, features, rois, size, scale):
        output = features.new_zeros(len(rois), features.shape[1], *size)
        argmax = torch.zeros_like(output, dtype=torch.int)
        roi_pool_forward(
            features, rois, output, argmax, pooled_height=size[0], pooled_width=size[1], spatial_scale=scale
        )
        ctx.save_for_backward(rois, argmax)
        ctx.mark_non_differentiable(argmax)
        ctx.shape, ctx.size, ctx.scale = features.shape, size, scale
        return output, argmax

    @staticmethod
    def backward(ctx, grad_output, _):
        grad_input = grad_output.new_zeros(ctx.shape)
        roi_pool_backward(
            grad_output,
            *ctx.saved_tensors,
            grad_input,
            pooled_height=ctx.size[0],
            pooled_width=ctx.size[1],
            spatial_scale=ctx.scale,
        )
        return grad_input, None, None, None


def loop(features, rois, size, scale):
    """The definition, bin by bin: the maxima, and their pixels."""
    height, width = features.shape[2:]
    output = features.new_zeros(len(rois), features.shape[1], *size)
    argmax = torch.full(output.shape, -1, dtype=torch.int)
    for r, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        left, top, right, bottom = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        if right <= left or bottom <= top:
            continue
        for p in range(size[0]):
            for q in range(size[1]):
                rows = range(
                    max(math.floor(p * (bottom - top) / size[0] + top), 0),
                    min(math.ceil((p + 1) * (bottom - top) / size[0] + top), height),
                )
                columns = range(
                    max(math.floor(q * (right - left) / size[1] + left), 0),
                    min(math.ceil((q + 1) * (right - left) / size[1] + left), width),
                )
                pixels = [y * width + x for y in rows for x in columns]
                for c, plane in enumerate(features[int(image)]) if pixels else ():
                    best = max(pixels, key=lambda pixel, plane=plane: plane.flatten()[pixel].item())
                    output[r, c, p, q], argmax[r, c, p, q] = plane.flatten()[best], best
    return output, argmax


def draw(seed: int, regions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A map of 7 x 6 of few different values, and regions of its image, some outside, some without area."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randint(-2, 3, (2, 2, 7, 6), generator=generator).double()
    corner = torch.randint(-15, 30, (regions, 2), generator=generator)
    corners = torch.cat((corner, corner + torch.randint(-2, 20, (regions, 2), generator=generator)), dim=1)
    image = torch.randint(0, 2, (regions, 1), generator=generator)
    return features, torch.cat((image, corners), dim=1).double()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    regions=st.integers(0, 4),
    height=SIDES,
    width=SIDES,
    scale=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_outputs_positions_and_gradients_are_the_loops(seed, regions, height, width, scale):
    features, rois = draw(seed, regions)
    features.requires_grad_()
    expected, expected_argmax = loop(features, rois, (height, width), scale)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    pooled, argmax = RoIPool.apply(features, rois, (height, width), scale)

    assert torch.equal(pooled, expected)
    assert torch.equal(argmax, expected_argmax)
    (grad,) = torch.autograd.grad(pooled, features, upstream)
    expected_grad = torch.zeros_like(grad)
    if expected.requires_grad:
        (expected_grad,) = torch.autograd.grad(expected, features, upstream)
    torch.testing.assert_close(grad, expected_grad)


def test_gradcheck():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 2, 7, 6, generator=generator, dtype=torch.float64)
    rois = torch.tensor([[0, 0, 0, 20, 20], [1, 4, 4, 40, 10], [1, -9, 3, 5, 5]], dtype=torch.float64)

    assert gradcheck(lambda x: RoIPool.apply(x, rois, (2, 3), 0.25)[0], features.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_exact(dtype):
    features, rois = draw(5, 6)
    expected, positions = RoIPool.apply(features, rois, (2, 2), 0.25)

    pooled, argmax = RoIPool.apply(features.to(dtype), rois.to(dtype), (2, 2), 0.25)

    assert torch.equal(pooled, expected.to(dtype))
    assert torch.equal(argmax, positions)


@pytest.mark.parametrize(
    ("region", "shape", "reason"),
    [
        ([2.0, 0, 0, 4, 4], (2, 1, 4, 4), r"region 1, .* is of no image of the batch of 2"),
        ([0.0, math.inf, 0, 4, 4], (2, 1, 4, 4), r"region 1, .* is not finite"),
        ([0.0, 0, 0, 4, 4], (2, 1, 4, 0), "4 x 0 has nothing to pool"),
    ],
)
def test_regions_that_cannot_be_pooled_are_named(region, shape, reason):
    features, rois, argmax = (
        torch.zeros(shape),
        torch.tensor([[0.0, 0, 0, 2, 2], region]),
        torch.zeros(2, 1, 1, 1).int(),
    )

    with pytest.raises(ValueError, match=reason):
        roi_pool_forward(features, rois, torch.zeros(2, 1, 1, 1), argmax, 1, 1, 1.0)
    with pytest.raises(ValueError, match=reason):
        roi_pool_backward(torch.zeros(2, 1, 1, 1), rois, argmax, features, 1, 1, 1.0)


def test_gradients_are_added_to_what_is_there():
    argmax, grad = torch.tensor([[[[5, -1]]]], dtype=torch.int), torch.ones(1, 1, 3, 3)
    roi_pool_backward(torch.tensor([[[[2.0, 7.0]]]]), torch.tensor([[0.0, 0, 0, 2, 2]]), argmax, grad, 1, 2, 1.0)

    assert grad.flatten().tolist() == [1, 1, 1, 1, 1, 3, 1, 1, 1]
