"""Products of single-precision matrices by oneDNN, which uses AVX-512 wherever the processor has it.

PyTorch asks MKL, which does so on Intel's processors only. ``FlopCounterMode`` does not see these products: count
under autocast, in another precision or on the meta device.
"""

from __future__ import annotations

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


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``left @ right.T + bias`` by oneDNN, without gradients: (..., K) and (N, K) -> (..., N)."""
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
