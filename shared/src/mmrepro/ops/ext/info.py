"""What mmcv's environment report asks of its compiled operators."""

from __future__ import annotations


def get_compiler_version() -> str:
    """Return what stands in for the compiler's name."""
    return "none (operators served by mmrepro)"


def get_compiling_cuda_version() -> str:
    """Return what stands in for the CUDA version of the compiled operators."""
    return "not available"
