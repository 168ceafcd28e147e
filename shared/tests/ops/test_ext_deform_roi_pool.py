"""Deformable RoI pooling served for mmcv: against RoIAlign, a direct loop and finite differences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import Function
from torchvision.ops import roi_align

from mmrepro.ops.ext import deform_roi_pool as ext


class DeformRoIPool(Function):
    """Calls the operators as mmcv's autograd function does."""

    @staticmethod
    def forward(ctx, features, rois, offset, size, scale, ratio, gamma):
        offset = features.new_zeros(0) if offset is None else offset
        ctx.arguments = dict(pooled_height=size[0], pooled_width=size[1], spatial_scale=scale)
        ctx.arguments |= dict(sampling_ratio=ratio, gamma=gamma)
        output = features.new_full((rois.shape[0], features.shape[1], *size), math.nan)
        assert ext.deform_roi_pool_forward(features, rois, offset, output, **ctx.arguments) is None
        ctx.save_for_backward(features, rois, offset)
        return output

    @staticmethod
    def backward(ctx, grad):
        features, rois, offset = ctx.saved_tensors
        buffers = torch.ones_like(features), torch.ones_like(offset)  # added to
        ext.deform_roi_pool_backward(grad, features, rois, offset, *buffers, **ctx.arguments)
        return buffers[0] - 1, None, buffers[1] - 1 if offset.numel() else None, None, None, None, None


def features_and_rois(seed: int, batch: int, regions: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Features ``(B, 2, H, W)`` and RoIs at half scale, some of which reach out of the image or have x2 < x1."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, 2, *size, generator=generator, dtype=torch.float64)
    start, extent = (torch.rand(regions, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    start, extent = 20 * start - 4, 16 * extent - 2
    image = torch.randint(batch, (regions, 1), generator=generator)
    return features.requires_grad_(), torch.cat((image, start, start + extent), 1)


CASES = dict(
    seed=st.integers(0, 999),
    batch=st.integers(1, 2),
    regions=st.integers(0, 3),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    pooled=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ratio=st.integers(0, 2),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CASES)
def test_without_offset_it_is_roi_align(seed, batch, regions, size, pooled, ratio):
    features, rois = features_and_rois(seed, batch, regions, size)
    output = DeformRoIPool.apply(features, rois, None, pooled, 0.5, ratio, 0.1)
    expected = roi_align(features, rois, pooled, 0.5, ratio, aligned=True)
    # 1e-11: means of some hundred values of size one, at positions with a rounding error of 1e-15
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)
    upper = torch.randn_like(expected)
    ours, wanted = (torch.autograd.grad(one, features, upper) for one in (output, expected))
    torch.testing.assert_close(ours, wanted, rtol=1e-11, atol=1e-11)


def bilinear(features: Tensor, y: float, x: float) -> Tensor:
    height, width = features.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros_like(features[:, 0, 0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    value = torch.zeros_like(features[:, 0, 0])
    for q, p in itertools.product(range(height), range(width)):
        value = value + max(0.0, 1 - abs(y - q)) * max(0.0, 1 - abs(x - p)) * features[:, q, p]
    return value


def direct_loop(features: Tensor, rois: Tensor, offset: Tensor, scale: float, ratio: int, gamma: float) -> Tensor:
    """Bins of RoIAlign, moved by gamma times the size of the RoI times the offset, element by element."""
    rows, columns = offset.shape[2:]
    output = features.new_zeros(len(rois), features.shape[1], rows, columns)
    for r, row, column in itertools.product(range(len(rois)), range(rows), range(columns)):
        left, top, right, bottom = (rois[r, 1:] * scale - 0.5).tolist()
        height, width = (bottom - top) / rows, (right - left) / columns
        down, across = (ratio if ratio > 0 else max(0, math.ceil(one)) for one in (height, width))
        for i, j in itertools.product(range(down), range(across)):
            y = top + gamma * (bottom - top) * offset[r, 1, row, column].item() + (row + (i + 0.5) / down) * height
            x = left + gamma * (right - left) * offset[r, 0, row, column].item() + (column + (j + 0.5) / across) * width
            output[r, :, row, column] += bilinear(features[int(rois[r, 0])], y, x) / (down * across)
    return output


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CASES, moved=st.booleans())
def test_is_the_definition(seed, batch, regions, size, pooled, ratio, moved):
    features, rois = features_and_rois(seed, batch, regions, size)
    offset = torch.randn(regions, 2, *pooled, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        output = DeformRoIPool.apply(features, rois, offset if moved else None, pooled, 0.5, ratio, 0.3)
        expected = direct_loop(features, rois, offset * moved, 0.5, ratio, 0.3)
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("ratio", [0, 2])
def test_gradients_are_finite_differences(ratio):
    features, rois = features_and_rois(3, 2, 3, (5, 6))
    offset = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.autograd.gradcheck(
        lambda features, offset: DeformRoIPool.apply(features, rois, offset, (2, 2), 0.5, ratio, 0.2),
        (features, offset.requires_grad_()),
    )


def test_parts_of_the_regions_change_nothing(monkeypatch):
    features, rois = features_and_rois(0, 2, 7, (8, 8))
    offset = torch.randn(7, 2, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()

    def run() -> list[Tensor]:
        output = DeformRoIPool.apply(features, rois, offset, (2, 2), 0.5, 0, 0.2)
        return [output, *torch.autograd.grad(output.square().sum(), (features, offset))]

    whole = run()
    monkeypatch.setattr(ext, "_SAMPLES", 40)
    torch.testing.assert_close(run(), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_pools_zero(value, ratio):
    features, rois = features_and_rois(0, 1, 2, (6, 6))
    offset = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    offset[0] = value
    rois[1, 3] = value
    offset.requires_grad_()
    output = DeformRoIPool.apply(features, rois, offset, (2, 2), 0.5, ratio, 0.2)
    assert not output.any()
    assert not any(one.any() for one in torch.autograd.grad(output.sum(), (features, offset)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    features, rois = features_and_rois(0, 2, 3, (8, 8))
    offset = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    low = [one.detach().to(dtype) for one in (features, rois, offset)]
    output, expected = (
        DeformRoIPool.apply(*inputs, (2, 2), 0.5, 0, 0.2) for inputs in (low, [one.float() for one in low])
    )
    torch.testing.assert_close(output, expected.to(dtype), rtol=0, atol=0)


def test_wrong_arguments_are_named():
    features, rois, offset = torch.zeros(1, 2, 4, 4), torch.zeros(3, 5), torch.zeros(3, 2, 2, 2)
    for change, message in (
        (dict(rois=torch.zeros(3, 4)), r"RoIs \(R, 5\), got \(1, 2, 4, 4\) and \(3, 4\)"),
        (dict(offset=torch.zeros(3, 1, 2, 2)), r"offset is empty or has the shape \(3, 2, 2, 2\)"),
        (dict(output=torch.zeros(3, 2, 2)), r"output has the shape \(3, 2, 2, 2\), got \(3, 2, 2\)"),
    ):
        case = dict(input=features, rois=rois, offset=offset, output=torch.zeros(3, 2, 2, 2)) | change
        with pytest.raises(ValueError, match=message):
            ext.deform_roi_pool_forward(
                **case, pooled_height=2, pooled_width=2, spatial_scale=1.0, sampling_ratio=0, gamma=0.1
            )


@pytest.mark.parametrize(
    ("region", "shape", "reason"),
    [
        ([2.0, 0, 0, 4, 4], (2, 1, 4, 4), r"region 1, .* is of no image of the batch of 2"),
        ([-1.0, 0, 0, 4, 4], (2, 1, 4, 4), r"region 1, .* is of no image"),
        ([0.0, 0, 0, 4, 4], (0, 1, 4, 4), r"region 0, .* is of no image of the batch of 0"),
        ([0.0, 0, 0, 4, 4], (2, 1, 0, 4), "0 x 4 has nothing to pool"),
        ([0.0, 0, 0, 1e5, 1e5], (2, 1, 4, 4), r"region 1, .* has more than 67108864 samples in 1 bins"),
        ([0.0, 0, 0, 1e20, 1e20], (2, 1, 4, 4), r"region 1, .* has more than 67108864 samples in 1 bins"),
    ],
)
def test_regions_that_cannot_be_pooled_are_named(region, shape, reason):
    features, rois, output = torch.zeros(shape), torch.tensor([[0.0, 0, 0, 2, 2], region]), torch.zeros(2, 1, 1, 1)
    none, settings = torch.zeros(0), (1, 1, 1.0, 0, 0.1)

    with pytest.raises(ValueError, match=reason):
        ext.deform_roi_pool_forward(features, rois, none, output, *settings)
    with pytest.raises(ValueError, match=reason):
        ext.deform_roi_pool_backward(output, features, rois, none, torch.zeros(shape), none, *settings)
