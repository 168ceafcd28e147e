"""Deformable convolution v1 and v2 with the signatures of ``mmcv._ext``, on torchvision's kernels.

v1: Dai et al., arXiv:1703.06211; v2 (modulated): Zhu et al., arXiv:1811.11168. The order of the offset channels (y, x
for each kernel position) and the sampling rule (bilinear, zeros outside) are the same in both libraries. Where they
differ, mmcv's rule is kept:

- a sample exactly one pixel outside (offset zero beside a padding of one, as at initialisation) has no gradient with
  respect to its offset; torchvision gives the one-sided derivative;
- NaN and infinite offsets sample zero and get no gradient; torchvision's CPU kernel reads outside the image for NaN;
- v2 takes offsets and masks larger than the output and reads each image's first numbers; torchvision refuses them.

bfloat16 (and float16 on the CPU) is computed in float32. mmcv passes the arguments by name; ``columns`` and ``ones``
are scratch there and not used here. Shapes: input ``(B, C, H, W)``, weight ``(O, C / groups, kH, kW)``, output
``(B, O, H', W')``, offset ``(B, 2 * deformable groups * kH * kW, H', W')``, mask with half the channels of the offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

# Far outside any image, exact in float16, and still an integer that the kernels can convert.
_OUTSIDE = 32768.0


class _Geometry(NamedTuple):
    """What a call says beside its tensors; pairs are (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    offset_groups: int

    def output_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """(H', W') of the convolution over an image of (H, W)."""
        height, width = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                input_size, self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return height, width

    def arguments(self) -> tuple[int, ...]:
        """The integers of torchvision's operators, in their order."""
        return (*self.stride, *self.padding, *self.dilation, self.groups, self.offset_groups)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the deformable convolution v1 into ``output``, ``im2col_step`` images at a time.

    Raises:
        ValueError: shapes that do not fit, or a batch that `im2col_step` does not divide.
    """
    geometry = _Geometry((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group)
    _check(geometry, input, weight, offset)
    _check_step(input, im2col_step)
    _forward(geometry, im2col_step, input, weight, offset, None, None, output)


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add to ``gradInput`` and write into ``gradOffset`` the gradients of v1 with respect to input and offset.

    Raises:
        ValueError: as ``deform_conv_forward``; or a ``gradOutput`` of another shape than the output.
    """
    geometry = _Geometry((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group)
    _check(geometry, input, weight, offset, grad_output=gradOutput)
    _check_step(input, im2col_step)
    for part, grads in _backward(geometry, im2col_step, input, weight, offset, None, gradOutput):
        gradInput[part] += grads.input
        gradOffset[part] = grads.offset


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the gradient of v1 with respect to the weight to ``gradWeight``.

    torchvision's backward operator gives all gradients together, at five times the cost of this one on the CPU. Its
    forward operator with an identity as weight gives the sampled columns; the gradient is their product with
    ``gradOutput``.

    Raises:
        ValueError: as ``deform_conv_backward_input``.
    """
    geometry = _Geometry((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group)
    _check(geometry, input, gradWeight, offset, grad_output=gradOutput)
    _check_step(input, im2col_step)
    channels, taps = input.shape[1], kH * kW
    dtype = _compute_dtype(input)
    identity = torch.eye(taps, dtype=dtype, device=input.device).view(taps, 1, kH, kW).repeat(channels, 1, 1, 1)
    depthwise = geometry._replace(groups=channels)
    total = torch.zeros(group, gradWeight.shape[0] // group, channels // group * taps, dtype=dtype, device=input.device)
    with torch.autocast(input.device.type, enabled=False):
        for part in _parts(input, im2col_step):
            sampled = _convolve(depthwise, input[part].to(dtype), identity, offset[part].to(dtype), None, None)
            # (b, C*kH*kW, H', W') -> (groups, C/groups*kH*kW, b*H'*W')
            sampled = sampled.flatten(2).unflatten(1, (group, -1)).permute(1, 2, 0, 3).flatten(2)
            grad = gradOutput[part].to(dtype).flatten(2).unflatten(1, (group, -1)).permute(1, 2, 0, 3).flatten(2)
            total.baddbmm_(grad, sampled.transpose(1, 2))
    gradWeight += scale * total.view_as(gradWeight)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the modulated deformable convolution (v2) into ``output``, one image at a time.

    ``bias`` ``(O,)`` is read only if ``with_bias``.

    Raises:
        ValueError: shapes that do not fit.
    """
    geometry = _Geometry(
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w), group, deformable_group
    )
    offset, mask = (_read_flat(geometry, input, given) for given in (offset, mask))
    _check(geometry, input, weight, offset, mask=mask)
    _forward(geometry, 1, input, weight, offset, mask, bias if with_bias else None, output)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Add to ``grad_input``, ``grad_weight`` and, ``with_bias``, ``grad_bias``; write ``grad_offset``, ``grad_mask``.

    Raises:
        ValueError: shapes that do not fit.
    """
    geometry = _Geometry(
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w), group, deformable_group
    )
    offset, mask, grad_offset, grad_mask = (
        _read_flat(geometry, input, given) for given in (offset, mask, grad_offset, grad_mask)
    )
    _check(geometry, input, weight, offset, mask=mask, grad_output=grad_output)
    # The sums over the batch are kept in the dtype of the computation and rounded once.
    weight_sum = torch.zeros_like(grad_weight, dtype=_compute_dtype(input))
    for part, grads in _backward(geometry, 1, input, weight, offset, mask, grad_output):
        grad_input[part] += grads.input
        grad_offset[part] = grads.offset
        grad_mask[part] = grads.mask
        weight_sum += grads.weight
    grad_weight += weight_sum
    if with_bias:
        grad_bias += grad_output.sum((0, 2, 3), dtype=weight_sum.dtype)


class _Gradients(NamedTuple):
    """What torchvision's backward operator returns, in its order."""

    input: Tensor
    weight: Tensor
    offset: Tensor
    mask: Tensor
    bias: Tensor


def _forward(
    geometry: _Geometry,
    step: int,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    output: Tensor,
) -> None:
    dtype = _compute_dtype(input)
    weight = weight.to(dtype)
    output = output.view(input.shape[0], weight.shape[0], *geometry.output_size((input.shape[2], input.shape[3])))
    with torch.autocast(input.device.type, enabled=False):
        for part in _parts(input, step):
            modulation = None if mask is None else mask[part].to(dtype)
            output[part] = _convolve(
                geometry,
                input[part].to(dtype),
                weight,
                offset[part].to(dtype),
                modulation,
                None if bias is None else bias.to(dtype),
            )


def _convolve(
    geometry: _Geometry, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> Tensor:
    """torchvision's operator; offsets that are not finite sample zero."""
    return torch.ops.torchvision.deform_conv2d(
        input,
        weight,
        _finite(offset),
        input.new_zeros(input.shape[0], 0) if mask is None else mask,
        input.new_zeros(weight.shape[0]) if bias is None else bias,
        *geometry.arguments(),
        mask is not None,
    )


def _backward(
    geometry: _Geometry,
    step: int,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    grad_output: Tensor,
) -> Iterator[tuple[slice, _Gradients]]:
    """Yield the part of the batch and its gradients, with mmcv's rule for samples one pixel outside."""
    dtype = _compute_dtype(input)
    weight = weight.to(dtype)
    bias = weight.new_zeros(weight.shape[0])
    for part in _parts(input, step):
        given = offset[part].to(dtype)
        with torch.autocast(input.device.type, enabled=False):
            grads = _Gradients(
                *torch.ops.torchvision._deform_conv2d_backward(
                    grad_output[part].to(dtype),
                    input[part].to(dtype),
                    weight,
                    _finite(given),
                    given.new_zeros(given.shape[0], 0, *given.shape[2:]) if mask is None else mask[part].to(dtype),
                    bias,
                    *geometry.arguments(),
                    mask is not None,
                )
            )
        grads.offset.masked_fill_(_one_pixel_outside(geometry, given), 0)
        yield part, grads


def _read_flat(geometry: _Geometry, input: Tensor, given: Tensor) -> Tensor:
    """Return a view of an image's first numbers in the output's size, where offset or mask are larger than the output.

    mmcv reads them so, and mmdet's DyHead relies on it: it hands a coarse level the offsets and masks of the finer one.
    """
    if input.dim() != 4 or given.dim() != 4:
        return given  # an error of the check
    height, width = geometry.output_size((input.shape[2], input.shape[3]))
    numbers = given.shape[1] * height * width
    if given.shape[2:] == (height, width) or not 0 < numbers <= given[:1].numel():
        return given
    # a view: gradients are written through it
    return given.view(len(given), -1)[:, :numbers].unflatten(1, (given.shape[1], height, width))


def _one_pixel_outside(geometry: _Geometry, offset: Tensor) -> Tensor:
    """Where a coordinate of a sample is exactly -1, in the shape of ``offset``; at H and W both libraries give zero."""
    (kernel_h, kernel_w), (height, width) = geometry.kernel, offset.shape[2:]
    options = {"dtype": offset.dtype, "device": offset.device}
    rows = torch.arange(height, **options) * geometry.stride[0] - geometry.padding[0]
    columns = torch.arange(width, **options) * geometry.stride[1] - geometry.padding[1]
    tap_rows = torch.arange(kernel_h, **options) * geometry.dilation[0]
    tap_columns = torch.arange(kernel_w, **options) * geometry.dilation[1]
    # (b, dg*kH*kW*2, H', W') -> (b, dg, kH, kW, 2, H', W')
    split = offset.unflatten(1, (geometry.offset_groups, kernel_h, kernel_w, 2))
    outside = torch.empty_like(split, dtype=torch.bool)
    outside[:, :, :, :, 0] = (tap_rows[:, None] + rows)[:, None, :, None] + split[:, :, :, :, 0] == -1
    outside[:, :, :, :, 1] = (tap_columns[:, None] + columns)[:, None, :] + split[:, :, :, :, 1] == -1
    return outside.view_as(offset)


def _finite(offset: Tensor) -> Tensor:
    return offset.nan_to_num(nan=-_OUTSIDE, posinf=_OUTSIDE, neginf=-_OUTSIDE)


def _compute_dtype(input: Tensor) -> torch.dtype:
    if input.dtype == torch.bfloat16 or (input.dtype == torch.float16 and not input.is_cuda):
        return torch.float32
    return input.dtype


def _parts(input: Tensor, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, input.shape[0], step))


def _check_step(input: Tensor, step: int) -> None:
    if step < 1 or input.shape[0] % step:
        raise ValueError(f"deform_conv: im2col_step {step} does not divide the batch of {input.shape[0]}")


def _check(
    geometry: _Geometry,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None = None,
    grad_output: Tensor | None = None,
) -> None:
    """Raise ValueError, naming the argument and the shape expected, where the tensors do not fit together."""
    for name, tensor in (("input", input), ("weight", weight)):
        if tensor.dim() != 4:
            raise ValueError(f"deform_conv: {name} has 4 dimensions, got the shape {tuple(tensor.shape)}")
    batch, channels, *input_size = input.shape
    if (
        min(*geometry.stride, *geometry.dilation, geometry.groups, geometry.offset_groups) < 1
        or min(geometry.padding) < 0
    ):
        raise ValueError(
            f"deform_conv: stride, dilation and groups are positive and padding is not negative, got {geometry}"
        )
    if channels % geometry.groups or weight.shape[0] % geometry.groups or channels % geometry.offset_groups:
        raise ValueError(
            f"deform_conv: {geometry.groups} groups divide {channels} input and {weight.shape[0]} output channels, and"
            f" {geometry.offset_groups} deformable groups the input channels"
        )
    height, width = geometry.output_size((input_size[0], input_size[1]))
    if height < 1 or width < 1:
        raise ValueError(
            f"deform_conv: the output would be {height} x {width}; the input {tuple(input.shape)} is too small"
        )
    taps = geometry.offset_groups * geometry.kernel[0] * geometry.kernel[1]
    expected = [
        ("weight", weight, (weight.shape[0], channels // geometry.groups, *geometry.kernel)),
        ("offset", offset, (batch, 2 * taps, height, width)),
        ("mask", mask, (batch, taps, height, width)),
        ("the gradient of the output", grad_output, (batch, weight.shape[0], height, width)),
    ]
    for name, tensor, shape in expected:
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"deform_conv: {name} has the shape {shape}, got {tuple(tensor.shape)}")
    for name, tensor, _ in expected:
        if tensor is not None and tensor.dtype != input.dtype:
            raise ValueError(f"deform_conv: {name} has the input's dtype {input.dtype}, got {tensor.dtype}")
