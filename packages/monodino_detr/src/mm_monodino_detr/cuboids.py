"""3D boxes as cuboids: corners, edges and faces in the camera's frame, and cut off where they are behind the camera.

Boxes are KITTI's: height, width, length, the middle of the lower face (x right, y down, z ahead, in metres), and the
rotation about the vertical axis, where 0 looks along x.
"""

from __future__ import annotations

import numpy as np

NEAR = 0.1
"""Metres before the camera where cuboids are cut off."""
LOWER = (0, 1, 2, 3)
"""Corners of the lower face: front right, front left, back left and back right, as the object itself looks."""
FRONT = (0, 1, 5, 4)
"""Corners of the face that looks ahead, in a ring."""
EDGES = (
    *((0, 1), (1, 2), (2, 3), (3, 0)),
    *((4, 5), (5, 6), (6, 7), (7, 4)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
)


def cuboid_corners(boxes_3d: np.ndarray) -> np.ndarray:
    """Return the corners of boxes ``(N, 7)`` in metres, ``(N, 8, 3)``: the lower face's, then those above them."""
    height, width, length, rotation = boxes_3d[:, [0, 1, 2, 6]].T[..., None]  # (N, 1) each
    ahead, side = (length / 2) * [1, 1, -1, -1], (width / 2) * [-1, 1, 1, -1]
    cosine, sine = np.cos(rotation), np.sin(rotation)
    lower = np.stack([cosine * ahead + sine * side, np.zeros_like(ahead), cosine * side - sine * ahead], axis=-1)
    upper = lower - height[..., None] * [0, 1, 0]
    return np.concatenate([lower, upper], axis=1) + boxes_3d[:, None, 3:6]


def cut_polygon(points: np.ndarray, near: float = NEAR) -> np.ndarray:
    """Return the part of a convex polygon before the camera, ``(N, 3)`` to ``(M, 3)``; M is 0 where there is none.

    Args:
        points: the ring in metres.
        near: least z of what is kept.
    """
    kept = []
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        if start[2] >= near:
            kept.append(start)
        if (start[2] >= near) != (end[2] >= near):
            kept.append(_at(start, end, near))
    return np.array(kept).reshape(-1, 3)


def cut_segments(segments: np.ndarray, near: float = NEAR) -> np.ndarray:
    """Return what lies before the camera of segments ``(N, 2, 3)``, ``(M, 2, 3)``.

    Args:
        segments: their ends in metres.
        near: least z of what is kept.
    """
    kept = []
    for start, end in segments:
        if max(start[2], end[2]) < near:
            continue
        if start[2] < near:
            start = _at(start, end, near)
        elif end[2] < near:
            end = _at(start, end, near)
        kept.append((start, end))
    return np.array(kept).reshape(-1, 2, 3)


def _at(start: np.ndarray, end: np.ndarray, depth: float) -> np.ndarray:
    """Return the point of a segment at a depth."""
    return start + (depth - start[2]) / (end[2] - start[2]) * (end - start)
