"""What the head of a MonoDINO-DETR predicts, and what its losses and its decoding read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """Predictions of L decoder layers for B images and N queries; the last layer's are the result.

    Coordinates of boxes are in parts of the network's input. K is the number of classes.

    Attributes:
        logits: of the classes, ``(L, B, N, K)``.
        boxes: the projected centre of the 3D box and the distances from it to the sides of the 2D box,
            (cx, cy, l, r, t, b) in [0, 1], ``(L, B, N, 6)``.
        dims: height, width and length in metres, ``(L, B, N, 3)``.
        depths: the depth in metres and the logarithm of its variance, ``(L, B, N, 2)``.
        angles: 12 logits of heading bins and the residual of each bin in radians, ``(L, B, N, 24)``.
        depth_map_logits: of the depth bins of each cell and, last, of the background, ``(B, bins + 1, h, w)``.
        weighted_depth: the expected depth of each cell in metres, ``(B, h, w)``.
    """

    logits: Tensor
    boxes: Tensor
    dims: Tensor
    depths: Tensor
    angles: Tensor
    depth_map_logits: Tensor
    weighted_depth: Tensor


def box_corners(boxes: Tensor) -> Tensor:
    """Return the corners (x1, y1, x2, y2) of boxes (cx, cy, l, r, t, b), ``(..., 6)`` to ``(..., 4)``."""
    return boxes[..., [0, 1, 0, 1]] + boxes[..., 2:][..., [0, 2, 1, 3]] * boxes.new_tensor([-1, -1, 1, 1])
