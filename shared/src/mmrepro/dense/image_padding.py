"""Images of any size in a network that needs multiples of 32: fill up, and cut the results."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

DIVISOR = 32  # two tokens at stride 16


def padded(images: Tensor) -> Tensor:
    """Return images (B, 3, h, w) with zeros at the bottom and the right up to multiples of 32.

    Raises:
        ValueError: images have another shape, or none of their pixels.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ValueError(f"images of shape {tuple(images.shape)} are not (B, 3, h, w)")
    height, width = images.shape[2:]
    if height % DIVISOR or width % DIVISOR:
        images = F.pad(images, (0, -width % DIVISOR, 0, -height % DIVISOR))
    return images


def cut(maps: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Return the part of a map that an image of h x w pixels fills: (B, C, ceil(h/s), ceil(w/s)).

    Args:
        maps: (B, C, >= h/s, >= w/s), of the image that was filled up.
        height, width: h and w.
        stride: s.
    """
    return maps[..., : -(-height // stride), : -(-width // stride)]
