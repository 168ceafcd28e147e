"""Deformable convolution served for mmcv: against torchvision, a direct loop and finite differences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import Function
from torchvision.ops import deform_conv2d

from mmrepro.ops.ext import deform_conv as ext

FEW = settings(max_examples=30, deadline=None, derandomize=True)
EMPTY = torch.empty(0)


class Version1(Function):
    """Calls the operators as mmcv's autograd function does."""

    @staticmethod
    def forward(ctx, x, offset, weight, stride, padding, dilation, groups, offset_groups, step):
        ctx.arguments = {
            **dict(
                kW=weight.shape[3], kH=weight.shape[2], dW=stride[1], dH=stride[0], padW=padding[1], padH=padding[0]
            ),
            **dict(dilationW=dilation[1], dilationH=dilation[0], group=groups, deformable_group=offset_groups),
            **dict(im2col_step=step),
        }
        ctx.save_for_backward(x, offset, weight)
        height, width = offset.shape[2:]
        output = x.new_full((x.shape[0], weight.shape[0], height, width), math.nan)  # to be written, not added to
        assert ext.deform_conv_forward(x, weight, offset, output, EMPTY, EMPTY, **ctx.arguments) is None
        return output

    @staticmethod
    def backward(ctx, grad):
        x, offset, weight = ctx.saved_tensors
        grad_x, grad_weight, grad_offset = (
            torch.ones_like(x),
            torch.ones_like(weight),
            torch.full_like(offset, math.nan),
        )
        ext.deform_conv_backward_input(x, offset, grad, grad_x, grad_offset, weight, EMPTY, **ctx.arguments)
        ext.deform_conv_backward_parameters(x, offset, grad, grad_weight, EMPTY, EMPTY, scale=2, **ctx.arguments)
        # the buffers held one, and the weight's gradient was scaled
        return grad_x - 1, grad_offset, (grad_weight - 1) / 2, None, None, None, None, None, None


class Version2(Function):
    """Calls the operators as mmcv's autograd function does."""

    @staticmethod
    def forward(ctx, x, offset, mask, weight, bias, stride, padding, dilation, groups, offset_groups):
        ctx.with_bias = bias is not None
        bias = EMPTY if bias is None else bias
        ctx.arguments = {
            **dict(kernel_h=weight.shape[2], kernel_w=weight.shape[3], stride_h=stride[0], stride_w=stride[1]),
            **dict(pad_h=padding[0], pad_w=padding[1], dilation_h=dilation[0], dilation_w=dilation[1]),
            **dict(group=groups, deformable_group=offset_groups, with_bias=ctx.with_bias),
        }
        ctx.save_for_backward(x, offset, mask, weight, bias)
        output = x.new_full((x.shape[0], weight.shape[0], *offset.shape[2:]), math.nan)
        ext.modulated_deform_conv_forward(x, weight, bias, EMPTY, offset, mask, output, EMPTY, **ctx.arguments)
        return output

    @staticmethod
    def backward(ctx, grad):
        x, offset, mask, weight, bias = ctx.saved_tensors
        added = [torch.ones_like(one) for one in (x, weight, bias)]
        written = [torch.full_like(one, math.nan) for one in (offset, mask)]
        ext.modulated_deform_conv_backward(
            x, weight, bias, EMPTY, offset, mask, EMPTY, *added, *written, grad, **ctx.arguments
        )
        grad_x, grad_weight, grad_bias = (one - 1 for one in added)
        nothing = (None,) * 5
        return grad_x, written[0], written[1], grad_weight, grad_bias if ctx.with_bias else None, *nothing


@st.composite
def convolutions(draw) -> dict:
    """Tensors and settings of a small convolution; the samples lie on pixels, between them and outside."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    groups, offset_groups, batch = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from([2, 1, 4, 0]))
    kernel, stride, padding, dilation = pair(1, 3), pair(1, 2), pair(0, 2), pair(1, 2)
    reach = [dilation[axis] * (kernel[axis] - 1) + 1 for axis in range(2)]
    # the smallest image is one that fits only with its padding
    size = [draw(st.integers(max(1, reach[axis] - 2 * padding[axis]), reach[axis] + 4)) for axis in range(2)]
    output = [(size[axis] + 2 * padding[axis] - reach[axis]) // stride[axis] + 1 for axis in range(2)]
    channels, out_channels = groups * offset_groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    normal = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    taps = offset_groups * kernel[0] * kernel[1]
    return dict(
        x=normal(batch, channels, *size),
        offset=2 * normal(batch, 2 * taps, *output),
        mask=normal(batch, taps, *output),
        weight=normal(out_channels, channels // groups, *kernel),
        bias=normal(out_channels) if draw(st.booleans()) else None,
        settings=(stride, padding, dilation, groups, offset_groups),
    )


def leaves(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if one is None else one.clone().requires_grad_() for one in tensors]


def assert_same_gradients(output: Tensor, inputs: list, expected: Tensor, expected_inputs: list) -> None:
    """Outputs and gradients of float64 agree to 1e-11: sums of some hundred terms of size one in another order."""
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)
    upper = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=output.dtype)
    gradients = torch.autograd.grad(output, [one for one in inputs if one is not None], upper)
    wanted = torch.autograd.grad(expected, [one for one in expected_inputs if one is not None], upper)
    torch.testing.assert_close(gradients, wanted, rtol=1e-11, atol=1e-11)


@FEW
@given(convolutions(), st.sampled_from([1, 2]))
def test_version_1_is_torchvisions_public_function(case, step):
    step = step if case["x"].shape[0] % 2 == 0 else 1
    ours, theirs = (leaves(case["x"], case["offset"], case["weight"]) for _ in range(2))
    output = Version1.apply(*ours, *case["settings"], step)
    expected = deform_conv2d(*theirs, None, *case["settings"][:3])
    assert_same_gradients(output, ours, expected, theirs)


@FEW
@given(convolutions())
def test_version_2_is_torchvisions_public_function(case):
    ours, theirs = (leaves(case["x"], case["offset"], case["mask"], case["weight"], case["bias"]) for _ in range(2))
    output = Version2.apply(*ours, *case["settings"])
    x, offset, mask, weight, bias = theirs
    expected = deform_conv2d(x, offset, weight, bias, *case["settings"][:3], mask)
    assert_same_gradients(output, ours, expected, theirs)


def direct_loop(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, settings: tuple) -> Tensor:
    """Equation 2 of arXiv:1811.11168, element by element."""
    stride, padding, dilation, groups, offset_groups = settings
    (batch, channels, height, width), (out_channels, _, kernel_h, kernel_w) = x.shape, weight.shape
    output = x.new_zeros(batch, out_channels, *offset.shape[2:])
    for b, o, row, column in itertools.product(*map(range, output.shape)):
        first = o // (out_channels // groups) * (channels // groups)
        for c, i, j in itertools.product(range(channels // groups), range(kernel_h), range(kernel_w)):
            tap = ((first + c) // (channels // offset_groups)) * kernel_h * kernel_w + i * kernel_w + j
            y = row * stride[0] - padding[0] + i * dilation[0] + offset[b, 2 * tap, row, column].item()
            z = column * stride[1] - padding[1] + j * dilation[1] + offset[b, 2 * tap + 1, row, column].item()
            sample = 0.0
            for q, p in itertools.product((math.floor(y), math.floor(y) + 1), (math.floor(z), math.floor(z) + 1)):
                if 0 <= q < height and 0 <= p < width:
                    sample += (1 - abs(y - q)) * (1 - abs(z - p)) * x[b, first + c, q, p].item()
            output[b, o, row, column] += weight[o, c, i, j] * mask[b, tap, row, column] * sample
    return output


@settings(max_examples=25, deadline=None, derandomize=True)
@given(convolutions())
def test_is_the_definition(case):
    case = {name: value[:1] if name in ("x", "offset", "mask") else value for name, value in case.items()}
    tensors = case["x"], case["offset"], case["mask"], case["weight"]
    output = Version2.apply(*tensors, None, *case["settings"])
    torch.testing.assert_close(output, direct_loop(*tensors, case["settings"]), rtol=1e-11, atol=1e-11)


def test_gradients_are_finite_differences():
    generator = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    x, offset, mask, weight, bias = leaves(
        normal(2, 4, 4, 3), 0.7 * normal(2, 16, 4, 2), normal(2, 8, 4, 2), normal(2, 2, 2, 2), normal(2)
    )
    settings = ((1, 2), (1, 1), (2, 1), 2, 2)
    torch.autograd.gradcheck(lambda *inputs: Version1.apply(*inputs, *settings, 2), (x, offset, weight))
    torch.autograd.gradcheck(lambda *inputs: Version2.apply(*inputs, *settings), (x, offset, mask, weight, bias))


def test_a_sample_one_pixel_outside_has_no_gradient_of_its_offset():
    x, weight = torch.rand(1, 1, 3, 3) + 1, torch.ones(1, 1, 3, 3)
    offset = torch.zeros(1, 18, 3, 3, requires_grad=True)
    Version1.apply(x, offset, weight, (1, 1), (1, 1), (1, 1), 1, 1, 1).sum().backward()
    grad = offset.grad.view(3, 3, 2, 3, 3)
    assert not grad[0, :, 0, 0].any(), "y of the kernel's first row, at the first row of the output, is -1"
    assert not grad[:, 0, 1, :, 0].any(), "the same of x"
    assert grad[1, 1].all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_an_offset_that_is_not_finite_samples_zero(value):
    x, weight = torch.rand(1, 64, 32, 32), torch.rand(4, 64, 3, 3)
    offset = torch.full((1, 18, 32, 32), value, requires_grad=True)
    x.requires_grad_()
    output = Version1.apply(x, offset, weight, (1, 1), (1, 1), (1, 1), 1, 1, 1)
    output.sum().backward()
    assert not output.any()
    assert not x.grad.any()
    assert not offset.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(shape, generator=generator).to(dtype)
        for shape in ((2, 8, 5, 6), (2, 18, 5, 6), (2, 9, 5, 6), (4, 8, 3, 3), (4,))
    ]
    settings = ((1, 1), (1, 1), (1, 1), 1, 1)
    ours, wide = leaves(*inputs), leaves(*(one.float() for one in inputs))
    output, expected = Version2.apply(*ours, *settings), Version2.apply(*wide, *settings)
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected.to(dtype), rtol=0, atol=0)
    output.backward(torch.ones_like(output))
    expected.backward(torch.ones_like(expected))
    for one, reference in zip(ours, wide, strict=True):
        # the buffers of the test hold one before the gradient is added: two roundings at the sum's size
        scale = (reference.grad.abs() + 1).to(dtype)
        assert ((one.grad.float() - reference.grad).abs() <= 2 * torch.finfo(dtype).eps * scale).all()


def test_version_2_reads_larger_offsets_flat():
    """As mmcv does, and mmdet's DyHead needs: an image's first numbers, in the output's size."""
    torch.manual_seed(0)
    x, weight, grad = torch.rand(2, 2, 4, 4), torch.rand(3, 2, 3, 3), torch.rand(2, 3, 4, 4)
    large = torch.rand(2, 18, 6, 7) * 2 - 1, torch.rand(2, 9, 6, 7)
    cut = [one.flatten(1)[:, : one.shape[1] * 16].reshape(2, -1, 4, 4) for one in large]
    numbers = dict(kernel_h=3, kernel_w=3, group=1, deformable_group=1, with_bias=False)
    numbers |= dict.fromkeys(("stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w"), 1)
    outputs, gradients = [], []
    for offset, mask in (large, cut):
        output = torch.zeros(2, 3, 4, 4)
        ext.modulated_deform_conv_forward(x, weight, EMPTY, EMPTY, offset, mask, output, EMPTY, **numbers)
        buffers = [torch.zeros_like(one) for one in (x, weight, EMPTY, offset, mask)]
        ext.modulated_deform_conv_backward(x, weight, EMPTY, EMPTY, offset, mask, EMPTY, *buffers, grad, **numbers)
        outputs.append(output)
        gradients.append(buffers)
    assert torch.equal(*outputs)
    for ours, theirs in zip(*(one[:3] for one in gradients), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(*(one[3:] for one in gradients), strict=True):
        read = theirs[0].numel()
        assert torch.equal(ours.flatten(1)[:, :read], theirs.flatten(1))
        assert not ours.flatten(1)[:, read:].any()


def test_autocast_does_not_act_inside():
    tensors = [torch.rand(1, 2, 4, 4), torch.rand(1, 18, 4, 4), torch.rand(2, 2, 3, 3)]
    settings = ((1, 1), (1, 1), (1, 1), 1, 1, 1)

    def run() -> list[Tensor]:
        inputs = leaves(*tensors)
        output = Version1.apply(*inputs, *settings)
        return [output, *torch.autograd.grad(output.sum(), inputs)]

    expected = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = run()
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(offset=torch.zeros(1, 18, 4, 3)), r"offset has the shape \(1, 18, 4, 4\), got \(1, 18, 4, 3\)"),
        (dict(offset=torch.zeros(1, 9, 4, 4)), "offset has the shape"),
        (dict(offset=torch.zeros(2, 18, 4, 4)), "offset has the shape"),
        (dict(offset=torch.zeros(1, 18, 4, 4).half()), "dtype torch.float32, got torch.float16"),
        (dict(weight=torch.zeros(2, 3, 3, 3)), r"weight has the shape \(2, 2, 3, 3\)"),
        (dict(x=torch.zeros(2, 4, 4)), "input has 4 dimensions"),
        (dict(x=torch.zeros(1, 2, 4, 4), padding=(0, -1)), "padding is not negative"),
        (dict(dilation=(3, 3)), "the output would be 0 x 0"),
        (dict(groups=3), "3 groups divide 2"),
        (dict(offset_groups=3), "3 deformable groups"),
        (dict(step=2), "im2col_step 2 does not divide the batch of 1"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, message):
    case = dict(
        **dict(x=torch.zeros(1, 2, 4, 4), offset=torch.zeros(1, 18, 4, 4), weight=torch.zeros(2, 2, 3, 3)),
        **dict(stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1, offset_groups=1, step=1),
    )
    with pytest.raises(ValueError, match=message):
        Version1.apply(*(case | change).values())


def test_a_mask_or_a_gradient_that_does_not_fit_is_named():
    x, offset, weight = torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4, 4), torch.zeros(2, 2, 3, 3)
    settings = ((1, 1), (1, 1), (1, 1), 1, 1)
    with pytest.raises(ValueError, match=r"mask has the shape \(1, 9, 4, 4\), got \(1, 18, 4, 4\)"):
        Version2.apply(x, offset, offset, weight, None, *settings)
    numbers = dict(
        zip(("kW", "kH", "dW", "dH", "padW", "padH", "dilationW", "dilationH"), (3, 3, *(1,) * 6), strict=True)
    )
    with pytest.raises(ValueError, match="gradient of the output has the shape"):
        ext.deform_conv_backward_input(
            x, offset, x[:, :1], x, offset, weight, EMPTY, **numbers, group=1, deformable_group=1, im2col_step=1
        )
