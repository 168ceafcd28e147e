"""Generated pictures for tests, the quickstart and demonstrations: textured shapes before each other, as PNG files.

"Dead leaves" (Lee, Mumford and Huang, IJCV 2001): shapes of random size, each hiding what is behind it, have edges at
all scales and orientations, as photographs do; stripes and checks give fine repeated detail. They are written as files,
for the real data sets to read back, so that nothing of a pipeline is skipped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from .folder import temporary_folder

_SHAPES = 60  # enough to cover the ground
_SUPERSAMPLING = 2  # drawn twice as large and averaged: edges are as soft as a camera's


def texture(size: int, seed: int) -> np.ndarray:
    """Return a picture of ``size`` x ``size`` pixels, (H, W, 3) uint8, the same on every machine up to one level.

    Raises:
        ValueError: the size is not positive.
    """
    if size < 1:
        raise ValueError(f"size={size} must be at least 1")
    draw = np.random.Generator(np.random.PCG64(seed))
    side = size * _SUPERSAMPLING
    y, x = np.mgrid[:side, :side] / side
    picture = np.broadcast_to(draw.random(3), (side, side, 3)).copy()
    for radius in np.sort(0.02 / (draw.random(_SHAPES) * 0.97 + 0.03))[::-1]:
        inside, pattern = _shape(draw, x, y, radius)
        one, other = draw.random((2, 3))
        colour = one + (other - one) * pattern[..., None]
        picture[inside] = colour[inside]
    picture = picture.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 3).mean((1, 3))
    return (picture * 255).round().clip(0, 255).astype(np.uint8)


def _shape(draw: np.random.Generator, x: np.ndarray, y: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where a random shape is and its pattern, from 0 to 1: plain, a ramp, stripes or checks."""
    (u0, v0, angle, turn), kind, round_ = draw.random(4), draw.integers(4), draw.random() < 0.5
    angle, turn = np.pi * angle, np.pi * turn
    u = (x - u0) * np.cos(angle) + (y - v0) * np.sin(angle)
    v = (y - v0) * np.cos(angle) - (x - u0) * np.sin(angle)
    stretch = 0.3 + 0.7 * draw.random()
    inside = u**2 + (v / stretch) ** 2 < radius**2 if round_ else (abs(u) < radius) & (abs(v) < stretch * radius)
    frequency = 2 * np.pi * (4 + 36 * draw.random())
    along = u * np.cos(turn) + v * np.sin(turn)
    if kind == 0:
        return inside, np.zeros_like(u)
    if kind == 1:
        return inside, np.clip(0.5 + u / (2 * radius), 0, 1)
    if kind == 2:
        return inside, 0.5 + 0.5 * np.sin(frequency * along)
    return inside, 0.5 + 0.5 * np.sign(np.sin(frequency * u) * np.sin(frequency * v))


@cache
def texture_folder(count: int = 8, size: int = 128, seed: int = 0) -> Path:
    """Write ``count`` pictures into a temporary folder, once for each process and settings, and return it.

    It is removed when the process ends.

    Raises:
        ValueError: no picture is asked for, or the size is not positive.
    """
    folder = temporary_folder("textures", count)
    for number in range(count):
        Image.fromarray(texture(size, seed + number)).save(folder / f"texture_{number:04d}.png")
    return folder
