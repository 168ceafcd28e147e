"""RoIAlign against direct loops over its samples in float64, its gradients, and regions that cannot be pooled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import Function, gradcheck

from mmrepro.ops.ext import roi_align, roi_boxes
from mmrepro.ops.ext.roi_align import AVERAGE, MAXIMUM, roi_align_backward, roi_align_forward

SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(1, 3)


class RoIAlign(Function):
    """The two operators as mmcv's autograd function calls them."""

    @staticmethod
    def forward(ctx, features, rois, size, settings):
        output = features.new_zeros(len(rois), features.shape[1], *size)
        argmax_y, argmax_x = (
            torch.zeros_like(output) if settings["pool_mode"] == MAXIMUM else features.new_zeros(0) for _ in range(2)
        )
        roi_align_forward(
            features, rois, output, argmax_y, argmax_x, aligned_height=size[0], aligned_width=size[1], **settings
        )
        ctx.save_for_backward(rois, argmax_y, argmax_x)
        ctx.shape, ctx.size, ctx.settings = features.shape, size, settings
        return output

    @staticmethod
    def backward(ctx, grad_output):
        grad_input = grad_output.new_zeros(ctx.shape)
        roi_align_backward(
            grad_output,
            *ctx.saved_tensors,
            grad_input,
            aligned_height=ctx.size[0],
            aligned_width=ctx.size[1],
            **ctx.settings,
        )
        return grad_input, None, None, None


def sample(plane: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """Bilinear sample of one channel: zero more than a pixel outside, the border's value up to there."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return plane.new_zeros(())
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (1 - (x - left)) + plane[top, right] * (x - left)
    lower = plane[bottom, left] * (1 - (x - left)) + plane[bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def loop(features, rois, size, settings):
    """The definition, sample by sample."""
    output = features.new_zeros(len(rois), features.shape[1], *size)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (one * settings["spatial_scale"] - 0.5 * settings["aligned"] for one in corners)
        height, width = y2 - y1, x2 - x1
        if not settings["aligned"]:
            height, width = max(height, 1), max(width, 1)
        ratio = settings["sampling_ratio"]
        rows, columns = (ratio, ratio) if ratio else (math.ceil(height / size[0]), math.ceil(width / size[1]))
        for c, plane in enumerate(features[int(image)]):
            for p in range(size[0]):
                for q in range(size[1]):
                    values = [
                        sample(
                            plane,
                            y1 + height / size[0] * (p + (i + 0.5) / rows),
                            x1 + width / size[1] * (q + (j + 0.5) / columns),
                        )
                        for i in range(rows)
                        for j in range(columns)
                    ]
                    if values:
                        values = torch.stack(values)
                        output[r, c, p, q] = values.max() if settings["pool_mode"] == MAXIMUM else values.mean()
    return output


def draw(seed: int, regions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A map of 7 x 6, and regions in quarter pixels of the 28 x 24 image, some of them outside or without area."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 2, 7, 6, generator=generator, dtype=torch.float64)
    corner = torch.randint(-60, 120, (regions, 2), generator=generator)
    corners = torch.cat((corner, corner + torch.randint(0, 60, (regions, 2), generator=generator)), dim=1) / 4
    image = torch.randint(0, 2, (regions, 1), generator=generator)
    return features, torch.cat((image, corners), dim=1).double()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    regions=st.integers(0, 3),
    height=SIDES,
    width=SIDES,
    ratio=st.integers(0, 3),
    mode=st.sampled_from([AVERAGE, MAXIMUM]),
    aligned=st.booleans(),
)
def test_outputs_and_gradients_are_the_loops(seed, regions, height, width, ratio, mode, aligned):
    features, rois = draw(seed, regions)
    if mode == MAXIMUM:
        rois[:, 1:] += 0.013  # no sample exactly at y = -1, whose gradient is lost: a test of its own says so
    features.requires_grad_()
    options = dict(spatial_scale=0.25, sampling_ratio=ratio, pool_mode=mode, aligned=aligned)
    expected = loop(features, rois, (height, width), options)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    pooled = RoIAlign.apply(features, rois, (height, width), options)

    torch.testing.assert_close(pooled, expected)
    (grad,) = torch.autograd.grad(pooled, features, upstream)
    expected_grad = torch.zeros_like(grad)
    if expected.requires_grad:
        (expected_grad,) = torch.autograd.grad(expected, features, upstream)
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("mode", [AVERAGE, MAXIMUM])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_gradcheck(mode, ratio, aligned):
    features, rois = draw(3, 3)
    rois[:, 1:] = rois[:, 1:].abs()
    rois[:, 3:] += rois[:, 1:3] + 5
    options = dict(spatial_scale=0.25, sampling_ratio=ratio, pool_mode=mode, aligned=aligned)

    assert gradcheck(lambda x: RoIAlign.apply(x, rois, (2, 3), options), features.requires_grad_())


def test_the_maximum_says_where_it_is():
    features = torch.zeros(1, 2, 8, 8)
    features[0, 0, 3, 4] = features[0, 1, 1, 6] = 1
    output, y, x = (torch.full((1, 2, 1, 1), -7.0) for _ in range(3))
    roi_align_forward(features, torch.tensor([[0.0, 0, 0, 8, 8]]), output, y, x, 1, 1, 1.0, 8, MAXIMUM, True)

    assert output.flatten().tolist() == [1, 1]
    assert y.flatten().tolist() == [3, 1]
    assert x.flatten().tolist() == [4, 6]


def test_a_maximum_at_minus_one_has_no_gradient_along_y_only():
    features, settings = torch.ones(1, 1, 6, 6), dict(spatial_scale=1.0, sampling_ratio=1, pool_mode=0, aligned=False)
    features.requires_grad_()
    for region, expected in (([0.0, 1, -2, 3, 0], 0), ([0.0, -2, 1, 0, 3], 1)):
        pooled = RoIAlign.apply(features, torch.tensor([region]), (1, 1), settings)

        assert pooled.item() == 1
        assert torch.autograd.grad(pooled, features)[0].sum() == expected


def test_a_region_without_samples_gives_zero_and_no_gradient_in_half_precision():
    features, flat = torch.randn(1, 1, 4, 4, dtype=torch.float16), torch.tensor([[0.0, 1, 1, 3, 1]])
    features.requires_grad_()
    options = dict(spatial_scale=1.0, sampling_ratio=0, pool_mode=MAXIMUM, aligned=True)
    pooled = RoIAlign.apply(features, flat, (2, 2), options)

    assert (pooled == 0).all()
    assert (torch.autograd.grad(pooled.sum(), features)[0] == 0).all()


def test_a_region_without_samples_gives_zero_and_no_gradient():
    features, flat = torch.randn(1, 1, 4, 4), torch.tensor([[0.0, 1, 1, 3, 1]])
    output, y, x = (torch.full((1, 1, 2, 2), -7.0) for _ in range(3))
    roi_align_forward(features, flat, output, y, x, 2, 2, 1.0, 0, MAXIMUM, True)
    grad = torch.zeros_like(features)
    roi_align_backward(torch.ones_like(output), flat, y, x, grad, 2, 2, 1.0, 0, MAXIMUM, True)

    assert (output == 0).all()
    assert (y == -1).all()
    assert (x == -1).all()
    assert (grad == 0).all()


@pytest.mark.parametrize("at_once", [300, 30])  # 72 samples of a region, 36 of one of its channels
def test_maxima_of_many_regions_are_taken_in_parts(monkeypatch, at_once):
    features, rois = draw(9, 40)
    options = dict(spatial_scale=0.25, sampling_ratio=2, pool_mode=MAXIMUM, aligned=True)
    whole = RoIAlign.apply(features, rois, (3, 3), options)
    monkeypatch.setattr(roi_align, "SAMPLES_AT_ONCE", at_once)

    assert torch.equal(RoIAlign.apply(features, rois, (3, 3), options), whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", [AVERAGE, MAXIMUM])
def test_half_precision_is_the_float32_result_rounded_once(dtype, mode):
    features, rois = (one.to(dtype) for one in draw(4, 5))
    options = dict(spatial_scale=0.25, sampling_ratio=2, pool_mode=mode, aligned=True)
    expected = RoIAlign.apply(features.float(), rois.float(), (3, 3), options)

    pooled = RoIAlign.apply(features, rois, (3, 3), options)

    assert torch.equal(pooled, expected.to(dtype))
    assert torch.equal(RoIAlign.apply(features, rois.float(), (3, 3), options), pooled)  # rois of another type


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("size", "ratio"), [((1, 1), 0), ((2, 3), 0), ((2, 3), 2)])
@pytest.mark.parametrize("aligned", [True, False])
def test_half_precision_sends_gradients_to_the_pixels_of_float32(dtype, size, ratio, aligned):
    # bfloat16 has no odd number above 256, and only multiples of 8 above 1024; no sample is at y = -1
    generator = torch.Generator().manual_seed(8)
    features = torch.randn(1, 3, 5, 1500, generator=generator).to(dtype).requires_grad_()
    rois = torch.tensor([[0.0, 201, 1, 1501, 4], [0, 1290, -1.75, 1299.5, 3], [0, 290, 1, 299, 2.25]])
    upstream = torch.randn(3, 3, *size, generator=generator).to(dtype)
    options = dict(spatial_scale=1.0, sampling_ratio=ratio, pool_mode=MAXIMUM, aligned=aligned)
    wide = features.detach().float().requires_grad_()
    (expected,) = torch.autograd.grad(RoIAlign.apply(wide, rois, size, options), wide, upstream.float())

    (grad,) = torch.autograd.grad(RoIAlign.apply(features, rois, size, options), features, upstream)

    assert torch.equal(grad, expected.to(dtype))


def test_gradients_are_added_to_what_is_there():
    features, rois = draw(6, 3)
    rois[:, 3:] += 8
    once, twice = torch.zeros_like(features), torch.zeros_like(features)
    empty, upstream = features.new_zeros(0), features.new_ones(3, 2, 2, 2)
    settings = (empty, empty, once, 2, 2, 0.25, 2, AVERAGE, True)
    roi_align_backward(upstream, rois, *settings)
    for _ in range(2):
        roi_align_backward(upstream, rois, *settings[:2], twice, *settings[3:])

    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize(
    ("region", "shape", "reason"),
    [
        ([2.0, 0, 0, 4, 4], (2, 1, 4, 4), r"region 1, .* is of no image of the batch of 2"),
        ([-1.0, 0, 0, 4, 4], (2, 1, 4, 4), r"region 1, .* is of no image"),
        ([0.0, 0, 0, 4, 4], (0, 1, 4, 4), r"region 0, .* is of no image of the batch of 0"),
        ([0.0, 0, math.nan, 4, 4], (2, 1, 4, 4), r"region 1, .* is not finite"),
        ([0.0, 3, 0, 1, 4], (2, 1, 4, 4), r"region 1, \[0.0, 3.0, 0.0, 1.0, 4.0\], ends before it starts"),
        ([0.0, 0, 0, 4, 4], (2, 1, 0, 4), "0 x 4 has nothing to pool"),
        ([0.0, 0, 0, 4], (2, 1, 4, 4), r"rois is \(R, 5\)"),
    ],
)
def test_regions_that_cannot_be_pooled_are_named(region, shape, reason):
    features, rois = torch.zeros(shape), torch.tensor([[0.0, 0, 0, 2, 2][: len(region)], region])
    output, empty = torch.zeros(2, 1, 1, 1), torch.zeros(0)

    with pytest.raises(ValueError, match=reason):
        roi_align_forward(features, rois, output, empty, empty, 1, 1, 1.0, 1, AVERAGE, True)
    with pytest.raises(ValueError, match=reason):
        roi_align_backward(output, rois, empty, empty, features, 1, 1, 1.0, 1, AVERAGE, True)


@pytest.mark.parametrize("mode", [AVERAGE, MAXIMUM])
@pytest.mark.parametrize("corner", [(1e5, 1e5), (1e20, 1e20), (1e30, 2), (40000, 2)])
def test_regions_with_more_samples_than_memory_holds_are_named(mode, corner):
    features, rois = torch.zeros(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2], [0.0, 0, 0, *corner]])
    output, y, x = (torch.zeros(2, 1, 1, 1) for _ in range(3))

    with pytest.raises(ValueError, match=r"region 1, \[.*\], has more than 67108864 samples in 1 bins, or 32767 along"):
        roi_align_forward(features, rois, output, y, x, 1, 1, 1.0, 0, mode, True)
    with pytest.raises(ValueError, match=r"region 1, .* has more than 67108864 samples"):
        roi_align_backward(output, rois, y, x, features, 1, 1, 1.0, 0, mode, True)


@pytest.mark.parametrize("mode", [AVERAGE, MAXIMUM])
def test_the_limit_counts_the_samples_of_all_bins(mode, monkeypatch):
    monkeypatch.setattr(roi_boxes, "SAMPLES_PER_REGION", 64)
    options = dict(spatial_scale=1.0, sampling_ratio=0, pool_mode=mode, aligned=True)
    features = torch.ones(1, 1, 9, 9)

    assert (RoIAlign.apply(features, torch.tensor([[0.0, 0, 0, 8, 8]]), (2, 4), options) == 1).all()
    with pytest.raises(ValueError, match="more than 64 samples in 8 bins"):
        RoIAlign.apply(features, torch.tensor([[0.0, 0, 0, 8, 9]]), (2, 4), options)


def test_an_unknown_mode_is_named():
    empty = torch.zeros(0)
    with pytest.raises(ValueError, match="pool_mode is 0"):
        roi_align_forward(torch.zeros(1, 1, 4, 4), torch.zeros(0, 5), empty, empty, empty, 1, 1, 1.0, 1, 2, True)
