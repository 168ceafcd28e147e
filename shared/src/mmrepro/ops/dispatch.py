"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159, equation 3): one function, three paths.

``torch`` is pure PyTorch and runs everywhere, ``triton`` is for CUDA, ``mmcv`` is mmcv's compiled operator. CUDA
tensors take the Triton kernels where Triton works, else the pure path; ``MMREPRO_MSDA=torch|triton|mmcv`` forces one.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from mmrepro.ops import finder, ms_deform_attn_export, ms_deform_attn_torch, ms_deform_attn_triton

VARIABLE = "MMREPRO_MSDA"
PATHS = ("torch", "triton", "mmcv")
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Level tables on an accelerator -> (version, numbers): the tables of one forward pass serve all its layers.
_read: WeakIdKeyDictionary = WeakIdKeyDictionary()


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sum bilinear samples of feature maps, weighted by attention.

    A location ``(x, y)`` in [0, 1] of a level of size ``(H, W)`` is the pixel ``(x W - 0.5, y H - 0.5)``; neighbours
    outside the map count as zero, and so does a location that is not finite. Coordinates, weights and sums are computed
    in float32, in float64 for float64 values, also under autocast. Values are taken to be finite: one that is not, at a
    map's border, may also show in samples outside that map.

    Args:
        value: all levels' features, row-major and concatenated, ``(B, S, h, d)``.
        spatial_shapes: each level's ``(H, W)``, integers ``(L, 2)``; the products sum to S.
        level_start_index: where each level starts in S, integers ``(L,)``.
        sampling_locations: ``(B, N, h, L, P, 2)`` as ``(x, y)``.
        attention_weights: ``(B, N, h, L, P)``.

    Returns:
        ``(B, N, h*d)`` in the data type of ``value``.

    Raises:
        TypeError: an argument is not a tensor, or its data type does not fit: locations and weights are in half or
            single precision where ``value`` is, in double precision where ``value`` is.
        ValueError: shapes or devices do not fit together, or ``MMREPRO_MSDA`` names no path.
        RuntimeError: the path that ``MMREPRO_MSDA`` forces cannot run here; the message says why.
    """
    arguments = (value, spatial_shapes, level_start_index, sampling_locations, attention_weights)
    _check_types(*arguments)
    if not torch.jit.is_tracing():  # where sizes are tensors
        _check_shapes(*arguments)
        if _are_readable(spatial_shapes, level_start_index):
            _check_levels(value, spatial_shapes, level_start_index)
    if ms_deform_attn_export.is_exporting():
        return ms_deform_attn_export.attend(*arguments)
    strict = torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    path, _ = choose(value.device.type, strict)
    if path == "mmcv":
        return _attend_mmcv(*arguments)
    attend = ms_deform_attn_triton.attend if path == "triton" else ms_deform_attn_torch.attend
    return attend(value, spatial_shapes.long(), level_start_index.long(), sampling_locations, attention_weights)


def choose(device_type: str, deterministic: bool = False) -> tuple[str, str]:
    """Return the path that computes tensors of a device, and why it is that one.

    Raises:
        ValueError: ``MMREPRO_MSDA`` names no path.
        RuntimeError: the forced path cannot run on this device.
    """
    forced = os.environ.get(VARIABLE)
    if forced:
        if forced not in PATHS:
            raise ValueError(f"{VARIABLE}={forced}: there is no such path; there are {', '.join(PATHS)}")
        obstacle = _obstacle(forced, device_type)
        if obstacle:
            raise RuntimeError(f"{VARIABLE}={forced}, but {obstacle}; unset {VARIABLE} to take a path that works here")
        return forced, f"forced by {VARIABLE}"
    if device_type != "cuda":
        return "torch", f"the path for the device {device_type!r}"
    if deterministic:
        return "torch", "deterministic algorithms are asked for, and Triton's gradients use atomic additions"
    obstacle = _obstacle("triton", device_type)
    if obstacle is None:
        return "triton", "the path for CUDA"
    _warn_once(obstacle)
    return "torch", f"the Triton kernels cannot run: {obstacle}"


# torch.compile takes the path as a constant. torch.compiler.assume_constant_result sets this same mark, but imports the
# compiler, which takes seconds.
choose._dynamo_marked_constant = True


def _obstacle(path: str, device_type: str) -> str | None:
    """Return what keeps a path from running on a device, None where nothing does."""
    if path == "triton":
        return ms_deform_attn_triton.why_not(device_type)
    if path == "mmcv":
        if device_type != "cuda":
            return f"mmcv's compiled operator runs on CUDA only, and the tensors are on {device_type!r}"
        return _without_compiled_mmcv()
    return None


@cache
def _without_compiled_mmcv() -> str | None:
    if find_spec("mmcv") is None:
        return "mmcv is not installed"
    if finder.is_served(import_module(finder.EXTENSION)):
        return "mmcv was installed without its compiled operators"
    return None


@cache
def _warn_once(obstacle: str) -> None:
    warnings.warn(
        f"deformable attention runs on CUDA without its Triton kernels, more slowly: {obstacle}. "
        "`mmrepro doctor` says what mends it.",
        stacklevel=4,
    )


def _attend_mmcv(
    value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    if 0 in (*value.shape, *weights.shape):  # it launches kernels of size zero, which CUDA refuses
        return ms_deform_attn_torch.attend(value, spatial_shapes.long(), level_start_index.long(), locations, weights)
    # it has no bfloat16, and rounds the coordinates to the values' precision
    exact = torch.float64 if value.dtype == torch.float64 else torch.float32
    inputs = [one.to(exact).contiguous() for one in (value, locations, weights)]
    tables = spatial_shapes.long().contiguous(), level_start_index.long().contiguous()
    with torch.autocast(value.device.type, enabled=False):
        output = MultiScaleDeformableAttnFunction.apply(inputs[0], *tables, *inputs[1:], value.size(0))
    return output.to(value.dtype)


def _check_types(
    value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, locations: Tensor, weights: Tensor
) -> None:
    named = {
        "value": value,
        "spatial_shapes": spatial_shapes,
        "level_start_index": level_start_index,
        "sampling_locations": locations,
        "attention_weights": weights,
    }
    for name, one in named.items():
        if not isinstance(one, Tensor):
            raise TypeError(f"{name} must be a tensor, it is of type {type(one).__name__}")
        if one.device != value.device:
            raise ValueError(f"{name} is on {one.device}, value on {value.device}: move both to one device")
        if name in ("spatial_shapes", "level_start_index"):
            if one.dtype not in (torch.int32, torch.int64):
                raise TypeError(f"{name} must hold integers (int64), it is {one.dtype}")
        elif one.dtype not in FLOATING:
            raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, it is {one.dtype}")
        elif (one.dtype == torch.float64) != (value.dtype == torch.float64):
            raise TypeError(f"{name} is {one.dtype}, value {value.dtype}: float64 goes with float64 only")


def _check_shapes(
    value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, locations: Tensor, weights: Tensor
) -> None:
    if value.dim() != 4:
        raise ValueError(f"value must be (B, S, heads, channels), it is {tuple(value.shape)}")
    if spatial_shapes.dim() != 2 or spatial_shapes.size(1) != 2:
        raise ValueError(f"spatial_shapes must be (L, 2), each row (H, W), it is {tuple(spatial_shapes.shape)}")
    if locations.dim() != 6 or locations.size(5) != 2:
        raise ValueError(f"sampling_locations must be (B, N, heads, L, P, 2), it is {tuple(locations.shape)}")
    batch, _, heads, _ = value.shape
    levels = spatial_shapes.size(0)
    if level_start_index.shape != (levels,):
        raise ValueError(
            f"level_start_index must be ({levels},) as spatial_shapes has {levels} levels, "
            f"it is {tuple(level_start_index.shape)}"
        )
    _, queries, _, _, points, _ = locations.shape
    for name, one, expected in (
        ("sampling_locations", locations, (batch, queries, heads, levels, points, 2)),
        ("attention_weights", weights, (batch, queries, heads, levels, points)),
    ):
        if one.shape != expected:
            raise ValueError(
                f"{name} is {tuple(one.shape)}; with value {tuple(value.shape)} (B, S, heads, channels), {levels} "
                f"levels and sampling_locations {tuple(locations.shape)} it must be {tuple(expected)}"
            )


def _are_readable(*tables: Tensor) -> bool:
    """Whether numbers can be looked at: not while compiling or capturing a graph, nor in fake tensors.

    Our own paths read nothing outside `value` whatever the tables say.
    """
    if torch.compiler.is_compiling() or any(type(table) is not Tensor or table.is_meta for table in tables):
        return False
    return not (tables[0].is_cuda and torch.cuda.is_current_stream_capturing())


def _check_levels(value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor) -> None:
    """Raise where the level tables do not describe the values' rows."""
    shapes, starts = _numbers(spatial_shapes), _numbers(level_start_index)
    expected, rows = [], 0
    for height, width in shapes:
        if height < 0 or width < 0:
            raise ValueError(f"spatial_shapes holds a negative size: {shapes}")
        expected.append(rows)
        rows += height * width
    if rows != value.size(1):
        raise ValueError(f"the levels {shapes} have {rows} pixels together, value has {value.size(1)} rows")
    if starts != expected:
        raise ValueError(f"level_start_index is {starts}; levels of sizes {shapes} start at {expected}")


def _numbers(table: Tensor) -> list:
    """Return a table's numbers; an accelerator is waited for once per table, not once per call."""
    if table.device.type == "cpu" or table.is_inference():
        return table.tolist()
    version, numbers = _read.get(table, (None, None))
    if version != table._version:
        numbers = table.tolist()
        _read[table] = table._version, numbers
    return numbers
