"""Products of single-precision matrices by oneDNN, which uses AVX-512 wherever the processor has it.

PyTorch asks MKL, which does so on Intel's processors only. ``FlopCounterMode`` does not see these products: count
under autocast, in another precision or on the meta device.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor


def is_fast(tensor: Tensor) -> bool:
    """Whether :func:`product` is open to a tensor: float32 on the CPU, not empty, run at once, with oneDNN."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and tensor.numel() > 0
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
    )


@cache
def mkl_is_fast() -> bool:
    """Whether MKL uses the whole of the processor: then it is faster where a matrix is read across its rows.

    oneDNN copies such a matrix before: on Xeons with AVX-512, gradients of weights take it up to 2.8 times as long.
    """
    cpuinfo = Path("/proc/cpuinfo")  # platform says nothing of the vendor on Linux
    vendor = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.is_file() else platform.processor()
    return torch.backends.mkl.is_available() and "GenuineIntel" in vendor


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``left @ right.T + bias`` by oneDNN, without gradients: (..., K) and (N, K) -> (..., N)."""
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
