"""Multi-scale deformable attention under the names that mmcv's autograd function calls."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrepro.ops.dispatch import choose, ms_deform_attn


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return :func:`mmrepro.ops.ms_deform_attn`, ``(B, N, h*d)``; ``im2col_step`` splits no batch here."""
    return ms_deform_attn(value, value_spatial_shapes, value_level_start_index, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of value, locations and weights into the last three tensors."""
    path, _ = choose(value.device.type, torch.are_deterministic_algorithms_enabled())
    operators = torch.ops.mmrepro
    backward = operators.ms_deform_attn_backward if path == "triton" else operators.ms_deform_attn_torch_backward
    inputs = (value, value_spatial_shapes, value_level_start_index, sampling_locations, attention_weights)
    gradients = backward(grad_output, *inputs, True, True)
    for buffer, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        buffer.copy_(gradient)
