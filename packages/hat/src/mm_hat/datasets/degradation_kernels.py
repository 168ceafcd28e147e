"""Random blur kernels of the real-world degradation: six kinds of Gaussian and plateau, and the sinc that rings.

Source: section 3 of Real-ESRGAN (arXiv 2107.10833), as XPixelGroup/BasicSR @ 8d56e3a draws them: Python's ``random``
chooses, numpy's global generator draws numbers, in an order that is part of the recipe (parity case
``degradation_ops``). Changed here: the kinds share one quadratic form and differ in the profile that is laid on it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
PROBABILITIES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
SIZES = tuple(range(7, 22, 2))
FULL_SIZE = 21  # what every kernel is padded to, so that a batch of them is one tensor
SMALL = 13  # below it a sinc kernel is too small for the lowest cut-offs

Range = Sequence[float]


def uniform(low: float = 0.0, high: float = 1.0) -> float:
    """Draw a number from the generator that the recipe draws its numbers from."""
    return np.random.uniform(low, high)  # noqa: NPY002


def gaussian_family(
    size: int, sigma_x: float, sigma_y: float, rotation: float = 0.0, *, profile: str = "gaussian", beta: float = 1.0
) -> np.ndarray:
    """Return a normalised kernel (size, size) whose level lines are rotated ellipses.

    With the squared elliptic radius r, the profiles are ``exp(-r^beta / 2)`` ("gaussian"; beta = 1 is the usual one)
    and ``1 / (1 + r^beta)`` ("plateau").

    Args:
        size: odd side.
        sigma_x, sigma_y: standard deviations along the ellipse's axes, in pixels.
        rotation: of the ellipse, in radians.
        profile: "gaussian" or "plateau".
        beta: how flat the top and how steep the flanks are.

    Raises:
        ValueError: the size is even, or the profile is not known.
    """
    y, x = _centred_grid(size)
    turn = np.array([[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]])
    precision = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
    radius = precision[0, 0] * x * x + (precision[0, 1] + precision[1, 0]) * x * y + precision[1, 1] * y * y
    # The form is positive; rounding far from the centre may say otherwise, and roots of that are NaN.
    powered = np.maximum(radius, 0) ** beta
    if profile == "gaussian":
        kernel = np.exp(-0.5 * powered)
    elif profile == "plateau":
        kernel = 1 / (1 + powered)
    else:
        raise ValueError(f"profile={profile!r} is not known. Fix: use 'gaussian' or 'plateau'")
    return kernel / kernel.sum()


def circular_lowpass(cutoff: float, size: int) -> np.ndarray:
    """Return the normalised kernel (size, size) of an ideal circular low-pass, a two-dimensional sinc.

    ``cutoff * J1(cutoff * r) / (2 pi r)``: section 3.3, equation 5 of Real-ESRGAN.

    Args:
        cutoff: angular frequency in radians per pixel, in (0, pi].
        size: odd side.

    Raises:
        ValueError: the size is even or the cut-off lies outside its range.
    """
    if not 0 < cutoff <= math.pi:
        raise ValueError(f"cutoff={cutoff} must lie in (0, pi]")
    y, x = _centred_grid(size)
    radius = np.hypot(x, y)
    radius[size // 2, size // 2] = 1  # its own value follows
    kernel = cutoff * torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy() / (2 * math.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def random_kernel(
    kinds: Sequence[str] = KINDS,
    probabilities: Sequence[float] = PROBABILITIES,
    size: int = FULL_SIZE,
    *,
    sigma: Range = (0.2, 3.0),
    rotation: Range = (-math.pi, math.pi),
    beta_gaussian: Range = (0.5, 4.0),
    beta_plateau: Range = (1.0, 2.0),
) -> np.ndarray:
    """Draw the kind of a kernel, then its numbers: deviations, rotation, beta.

    beta comes from below or from above 1 with the same probability.

    Args:
        kinds, probabilities: what to choose from; the probabilities are weights.
        size: odd side.
        sigma, rotation, beta_gaussian, beta_plateau: ranges of what is drawn.

    Returns:
        A normalised kernel (size, size), float64.

    Raises:
        ValueError: a kind is not known or a range is empty.
    """
    for name, bounds in (("sigma", sigma), ("rotation", rotation)):
        if not bounds[0] < bounds[1]:
            raise ValueError(f"{name}={tuple(bounds)} is an empty range. Fix: put the lower bound first")
    (kind,) = random.choices(kinds, probabilities)
    if kind not in KINDS:
        raise ValueError(f"kernel kind {kind!r} is not known. Fix: use some of {', '.join(KINDS)}")
    # The order of the draws is the recipe's: sigma_x, sigma_y, rotation, side of beta, beta.
    sigma_x = sigma_y = uniform(*sigma)
    angle = 0.0
    if not kind.endswith("_iso") and kind != "iso":
        sigma_y = uniform(*sigma)
        angle = uniform(*rotation)
    if kind.startswith("generalized"):
        return gaussian_family(size, sigma_x, sigma_y, angle, beta=_random_beta(beta_gaussian))
    if kind.startswith("plateau"):
        return gaussian_family(size, sigma_x, sigma_y, angle, profile="plateau", beta=_random_beta(beta_plateau))
    return gaussian_family(size, sigma_x, sigma_y, angle)


def pad_kernel(kernel: np.ndarray, size: int = FULL_SIZE) -> np.ndarray:
    """Return an odd-sided kernel with zeros around it, (size, size).

    Raises:
        ValueError: the kernel is larger than that.
    """
    margin = (size - len(kernel)) // 2
    if margin < 0:
        raise ValueError(f"a kernel of side {len(kernel)} does not fit into {size}")
    return np.pad(kernel, margin)


def delta(size: int = FULL_SIZE) -> np.ndarray:
    """Return the kernel (size, size) that changes nothing."""
    kernel = np.zeros((size, size))
    kernel[size // 2, size // 2] = 1
    return kernel


@dataclass(frozen=True)
class BlurSettings:
    """What one blur of the degradation is drawn from; the names are the official options'.

    Args:
        blur_kernel_size: side that kernels are padded to.
        kernel_list, kernel_prob: kinds and their weights.
        sinc_prob: probability of a sinc instead.
        blur_sigma, betag_range, betap_range: ranges of deviations, generalised and plateau beta.
        kernel_sizes: odd sides to choose from.
    """

    blur_kernel_size: int = FULL_SIZE
    kernel_list: Sequence[str] = KINDS
    kernel_prob: Sequence[float] = PROBABILITIES
    sinc_prob: float = 0.1
    blur_sigma: Range = (0.2, 3.0)
    betag_range: Range = (0.5, 4.0)
    betap_range: Range = (1.0, 2.0)
    kernel_sizes: Sequence[int] = SIZES

    def __post_init__(self) -> None:
        if len(self.kernel_list) != len(self.kernel_prob):
            raise ValueError(f"{len(self.kernel_list)} kinds in kernel_list, {len(self.kernel_prob)} in kernel_prob")
        unknown = sorted(set(self.kernel_list) - set(KINDS))
        if unknown:
            raise ValueError(f"kernel_list names {unknown}. Fix: use some of {', '.join(KINDS)}")
        if max(self.kernel_sizes) > self.blur_kernel_size:
            raise ValueError(
                f"a kernel of side {max(self.kernel_sizes)} does not fit into blur_kernel_size={self.blur_kernel_size}"
            )

    def draw(self) -> np.ndarray:
        """Draw a kernel, padded to (blur_kernel_size, blur_kernel_size)."""
        size = random.choice(self.kernel_sizes)
        if uniform() < self.sinc_prob:
            lowest = math.pi / 3 if size < SMALL else math.pi / 5
            kernel = circular_lowpass(uniform(lowest, math.pi), size)
        else:
            kernel = random_kernel(
                self.kernel_list,
                self.kernel_prob,
                size,
                sigma=self.blur_sigma,
                beta_gaussian=self.betag_range,
                beta_plateau=self.betap_range,
            )
        return pad_kernel(kernel, self.blur_kernel_size)


def random_final_sinc(probability: float, sizes: Sequence[int] = SIZES, full_size: int = FULL_SIZE) -> np.ndarray:
    """Draw the last filter of the degradation, (full_size, full_size): a sinc, or one that changes nothing."""
    if uniform() >= probability:
        return delta(full_size)
    size = random.choice(sizes)
    return pad_kernel(circular_lowpass(uniform(math.pi / 3, math.pi), size), full_size)


def _centred_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of each pixel, (size, size), 0 in the middle."""
    if size % 2 == 0:
        raise ValueError(f"a kernel's side must be odd, not {size}")
    axis = np.arange(size) - float(size // 2)
    return np.meshgrid(axis, axis, indexing="ij")


def _random_beta(bounds: Range) -> float:
    low, high = bounds
    if uniform() < 0.5:
        return uniform(low, 1)
    return uniform(1, high)
