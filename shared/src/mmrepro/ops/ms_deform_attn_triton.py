"""The Triton path of deformable attention: CUDA and ROCm, forward and backward.

The kernels are in `ms_deform_attn_kernels`, which is imported at the first call, because it imports Triton. The path is
an operator of PyTorch (`torch.library.custom_op`): `torch.compile` calls it as a whole. Only the inputs are saved.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

# Channels x rows of one program, and its warps: a lane holds four channels, hence loads and adds 16 bytes of float32.
# One warp per program spares the gradients' reductions over the channels every barrier.
FORWARD = dict(tile=512, num_warps=4)
BACKWARD = dict(tile=128, num_warps=1)


def attend(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sum bilinear samples of the levels, weighted by attention: `mmrepro.ops.ms_deform_attn`, without its checks.

    The gradient of ``value`` is summed by atomic additions, in no fixed order; the rest is deterministic. Inputs that
    are not contiguous are copied.

    Args:
        value: ``(B, S, h, d)``, any floating type.
        spatial_shapes: ``(L, 2)`` int64, each level's ``(H, W)``.
        level_start_index: ``(L,)`` int64, where each level starts in S.
        sampling_locations: ``(B, N, h, L, P, 2)`` as ``(x, y)``.
        attention_weights: ``(B, N, h, L, P)``.

    Returns:
        ``(B, N, h*d)`` in the type of ``value``.

    Raises:
        ImportError: Triton is not installed.
        RuntimeError: deterministic algorithms are asked for when the gradient of ``value`` is computed.
    """
    return _attend(value, spatial_shapes, level_start_index, sampling_locations, attention_weights)


@cache
def why_not(device_type: str) -> str | None:
    """Return what keeps this path from running on a type of device, None where nothing does.

    For CUDA the answer comes from running the kernels once, on the present device: whether Triton needs a C compiler
    depends on its version and on its cache, and where one is there, headers or libraries may still be missing.
    """
    if find_spec("triton") is None:
        return "Triton is not installed (`pip install triton`)"
    if interpreted():
        return None if device_type in ("cpu", "cuda") else f"Triton's interpreter serves no device {device_type!r}"
    if device_type != "cuda":
        return f"Triton needs a CUDA device, and the tensors are on {device_type!r}"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    try:
        # In a thread of its own, where no autocast, inference mode, or mode of fake tensors is active.
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(_rehearse, torch.device("cuda", torch.cuda.current_device())).result()
    except torch.cuda.OutOfMemoryError:
        raise  # passes, and is no fault of Triton: nothing is remembered
    except Exception as error:  # Triton has no class of errors of its own for what fails here
        return _explain(error)
    return None


def interpreted() -> bool:
    """Whether Triton interprets kernels with NumPy, which it decides from the environment when it decorates them."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def _rehearse(device: torch.device) -> None:
    """Run both kernels at the usual sizes (8 heads of 32 channels, 4 levels, 4 points), where the result is known."""
    value = torch.ones(1, 4, 8, 32, device=device)
    shapes = torch.ones(4, 2, dtype=torch.int64, device=device)
    starts = torch.arange(4, device=device)
    locations = torch.full((1, 1, 8, 4, 4, 2), 0.25, device=device)  # the one pixel of each level counts 0.75 x 0.75
    weights = torch.ones(1, 1, 8, 4, 4, device=device)
    output = _forward(value, shapes, starts, locations, weights)
    grads = _backward(output, value, shapes, starts, locations, weights, True, True)
    found = [float(one.mean()) for one in (output, *grads)]
    right = [9.0, 20.25, 216.0, 162.0]
    if found != right:
        raise RuntimeError(f"the kernels compute {found} where {right} is right")


def _explain(error: Exception) -> str:
    """Say what a failed rehearsal means, for someone who never heard of Triton's launcher."""
    use = "to build the code that launches its kernels"
    compiler = os.environ.get("CC")
    if compiler is not None and isinstance(error, OSError) and error.filename == compiler:
        return f"Triton needs a C compiler {use}, and CC={compiler!r} is none"
    if "C compiler" in str(error):
        return f"Triton finds no C compiler {use}: install gcc or clang, or name one by CC"
    if isinstance(error, subprocess.CalledProcessError):
        scheme = "nt" if os.name == "nt" else "posix_prefix"  # Debian's own default has no headers
        header = Path(sysconfig.get_path("include", scheme), "Python.h")
        if not header.is_file():
            return f"Triton needs Python's headers {use}, and {header} is missing: install python3-dev"
        return f"the C compiler fails {use} (status {error.returncode}): {error.cmd[0]}"
    return f"Triton fails to run a kernel: {type(error).__name__}: {shorten(str(error), 300)}"


def _forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    batch, queries, heads = attention_weights.shape[:3]
    output = value.new_empty(batch, queries, heads * value.size(3))
    if not (value.numel() and attention_weights.numel()):
        return output.zero_()
    inputs = value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    _launch(_kernels().weigh, value, attention_weights, [*(one.contiguous() for one in inputs), output], **FORWARD)
    return output


def _backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    for_value: bool,
    for_taps: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights, empty where the flag does not ask for them."""
    grad_value = value.new_zeros(value.shape if for_value else 0, dtype=_sum_type(value))
    grad_locations = sampling_locations.new_empty(sampling_locations.shape if for_taps else 0)
    grad_weights = attention_weights.new_empty(attention_weights.shape if for_taps else 0)
    if not (value.numel() and attention_weights.numel()):
        return grad_value.to(value.dtype), grad_locations.zero_(), grad_weights.zero_()
    inputs = grad_output, value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    _launch(
        _kernels().weigh_backward,
        value,
        attention_weights,
        [*(one.contiguous() for one in inputs), grad_value, grad_locations, grad_weights],
        FOR_VALUE=for_value,
        FOR_TAPS=for_taps,
        **BACKWARD,
    )
    return grad_value.to(value.dtype), grad_locations, grad_weights


def _launch(
    kernel: Any, value: Tensor, weights: Tensor, tensors: list[Tensor], tile: int, num_warps: int, **flags: bool
) -> None:
    """Run a kernel on all rows (b, n, h) of `weights` ``(B, N, h, L, P)``."""
    import triton
    import triton.language as tl

    batch, queries, heads, levels, points = weights.shape
    rows, width = batch * queries * heads, value.size(3)
    block_width = triton.next_power_of_2(width)
    block_rows = max(1, tile // block_width)
    with torch.cuda.device_of(value):
        kernel[(triton.cdiv(rows, block_rows),)](
            *tensors,
            rows,
            queries * heads,
            value.size(1),
            HEADS=heads,
            WIDTH=width,
            LEVELS=levels,
            POINTS=points,
            SUM=tl.float64 if value.dtype == torch.float64 else tl.float32,
            BLOCK_ROWS=block_rows,
            BLOCK_WIDTH=block_width,
            num_warps=num_warps,
            enable_fp_fusion=True,  # the default of some versions of Triton, and a warning in others
            **flags,
        )


def _kernels() -> ModuleType:
    from mmrepro.ops import ms_deform_attn_kernels

    return ms_deform_attn_kernels


def _sum_type(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


# torch.library.custom_op imports torch's compiler at the first call, which takes seconds; Triton's own first call takes
# as long. Schemas are written out because oldest versions of PyTorch cannot read annotations that are strings.
_INPUTS = "Tensor value, Tensor shapes, Tensor starts, Tensor locations, Tensor weights"
_attend = torch.library.custom_op("mmrepro::ms_deform_attn", _forward, mutates_args=(), schema=f"({_INPUTS}) -> Tensor")
_attend_backward = torch.library.custom_op(
    "mmrepro::ms_deform_attn_backward",
    _backward,
    mutates_args=(),
    schema=f"(Tensor grad_output, {_INPUTS}, bool for_value, bool for_taps) -> (Tensor, Tensor, Tensor)",
)


@_attend.register_fake
def _(value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(*weights.shape[:2], weights.size(2) * value.size(3))


@_attend_backward.register_fake
def _(
    grad_output: Tensor,
    value: Tensor,
    shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    weights: Tensor,
    for_value: bool,
    for_taps: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        value.new_empty(value.shape if for_value else 0),
        locations.new_empty(locations.shape if for_taps else 0),
        weights.new_empty(weights.shape if for_taps else 0),
    )


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    for_value, _, _, for_locations, for_weights = ctx.needs_input_grad
    if for_value and torch.are_deterministic_algorithms_enabled():
        text = (
            "deterministic algorithms are asked for, and the Triton kernels of deformable attention sum the gradient "
            "of the value in no fixed order; ask before the forward pass, or set MMREPRO_MSDA=torch"
        )
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError(text)
        warnings.warn(text, stacklevel=2)
    grad_value, grad_locations, grad_weights = _attend_backward(
        grad_output, *ctx.saved_tensors, for_value, for_locations or for_weights
    )
    return (
        grad_value if for_value else None,
        None,
        None,
        grad_locations if for_locations else None,
        grad_weights if for_weights else None,
    )


def _refuse(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError("ms_deform_attn has no second derivative")


_attend.register_autograd(_differentiate, setup_context=_save_inputs)
_attend_backward.register_autograd(_refuse)
