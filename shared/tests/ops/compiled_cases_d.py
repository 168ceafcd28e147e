"""Inputs on which an operator served by mmrepro and mmcv's compiled one, on the CPU, are to agree.

``CASES[name](generator)`` returns the positional arguments, output buffers included. Both operators are run on copies
of them; then all tensors among the arguments, and what is returned, are compared. All buffers hold random values, so
that writing instead of adding, or the reverse, shows. Half of the offsets are whole pixels: samples then fall on pixels
and exactly one pixel outside, where the gradient has a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Case = Callable[[torch.Generator], tuple]


def _integer(generator: torch.Generator, low: int, high: int) -> int:
    """A number from ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


class _Convolution:
    """A random deformable convolution: sizes, and the tensors that every operator takes."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.batch, self.groups, self.offset_groups = self.integer(1, 4), self.integer(1, 2), self.integer(1, 2)
        channels = self.groups * self.offset_groups * self.integer(1, 2)
        self.kernel, self.stride, self.padding, self.dilation = (
            (self.integer(low, high), self.integer(low, high)) for low, high in ((1, 3), (1, 2), (0, 2), (1, 2))
        )
        # mmcv's first version demands an image that is not smaller than the kernel, and an output of at least a pixel
        reach = [dilation * (kernel - 1) + 1 for dilation, kernel in zip(self.dilation, self.kernel, strict=True)]
        size = [self.integer(low, low + 5) for low in reach]
        self.output_size = [
            (size[axis] + 2 * self.padding[axis] - reach[axis]) // self.stride[axis] + 1 for axis in range(2)
        ]
        taps = self.offset_groups * self.kernel[0] * self.kernel[1]
        self.out_channels = self.groups * self.integer(1, 3)
        self.input = self.normal(self.batch, channels, *size)
        self.weight = self.normal(self.out_channels, channels // self.groups, *self.kernel)
        self.bias = self.normal(self.out_channels)
        self.mask = self.normal(self.batch, taps, *self.output_size)
        offset = 2 * self.normal(self.batch, 2 * taps, *self.output_size)
        self.offset = torch.where(self.normal(*offset.shape) > 0, offset, offset.round())
        self.output = self.normal(self.batch, self.out_channels, *self.output_size)

    def integer(self, low: int, high: int) -> int:
        return _integer(self.generator, low, high)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def pairs(self, horizontal_first: bool) -> tuple[int, ...]:
        """Kernel, stride, padding and dilation in either order of the axes."""
        pairs = (self.kernel, self.stride, self.padding, self.dilation)
        return tuple(size for pair in pairs for size in (reversed(pair) if horizontal_first else pair))


def _deform_conv_forward(generator: torch.Generator) -> tuple:
    conv = _Convolution(generator)
    scratch = torch.empty(0)
    return (
        *(conv.input, conv.weight, conv.offset, conv.output, scratch, scratch),
        *(*conv.pairs(True), conv.groups, conv.offset_groups, conv.batch),
    )


def _deform_conv_backward_input(generator: torch.Generator) -> tuple:
    conv = _Convolution(generator)
    buffers = torch.randn_like(conv.input), torch.randn_like(conv.offset)
    return (
        *(conv.input, conv.offset, conv.output, *buffers, conv.weight, torch.empty(0)),
        *(*conv.pairs(True), conv.groups, conv.offset_groups, 1),
    )


def _deform_conv_backward_parameters(generator: torch.Generator) -> tuple:
    conv = _Convolution(generator)
    scratch = torch.empty(0)
    return (
        *(conv.input, conv.offset, conv.output, conv.weight, scratch, scratch),
        *(*conv.pairs(True), conv.groups, conv.offset_groups, 0.5, conv.batch),
    )


def _modulated_deform_conv_forward(generator: torch.Generator) -> tuple:
    conv = _Convolution(generator)
    with_bias = bool(_integer(generator, 0, 1))
    bias, scratch = conv.bias if with_bias else torch.empty(0), torch.empty(0)
    return (
        *(conv.input, conv.weight, bias, scratch, conv.offset, conv.mask, conv.output, scratch),
        *(*conv.pairs(False), conv.groups, conv.offset_groups, with_bias),
    )


def _modulated_deform_conv_backward(generator: torch.Generator) -> tuple:
    conv = _Convolution(generator)
    with_bias = bool(_integer(generator, 0, 1))
    bias, scratch = conv.bias if with_bias else torch.empty(0), torch.empty(0)
    buffers = [conv.normal(*given.shape) for given in (conv.input, conv.weight, bias, conv.offset, conv.mask)]
    return (
        *(conv.input, conv.weight, bias, scratch, conv.offset, conv.mask, scratch, *buffers, conv.output),
        *(*conv.pairs(False), conv.groups, conv.offset_groups, with_bias),
    )


def _psamask(generator: torch.Generator) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Masks ``(B, mask, H, W)``, maps ``(B, H*W, H, W)`` and the integers of either operator."""
    batch, height, width, mask_height, mask_width = (_integer(generator, 1, 5) for _ in range(5))
    masks = torch.randn(batch, mask_height * mask_width, height, width, generator=generator)
    maps = torch.randn(batch, height * width, height, width, generator=generator)
    sizes = (height, width, mask_height, mask_width, (mask_height - 1) // 2, (mask_width - 1) // 2)
    return masks, maps, (_integer(generator, 0, 1), batch, *sizes)


def _psamask_forward(generator: torch.Generator) -> tuple:
    masks, maps, integers = _psamask(generator)
    return masks, maps, *integers


def _psamask_backward(generator: torch.Generator) -> tuple:
    masks, maps, integers = _psamask(generator)
    return maps, masks, *integers


CASES: dict[str, Case] = {
    "deform_conv_forward": _deform_conv_forward,
    "deform_conv_backward_input": _deform_conv_backward_input,
    "deform_conv_backward_parameters": _deform_conv_backward_parameters,
    "modulated_deform_conv_forward": _modulated_deform_conv_forward,
    "modulated_deform_conv_backward": _modulated_deform_conv_backward,
    "psamask_forward": _psamask_forward,
    "psamask_backward": _psamask_backward,
}
