"""Overlap of rotated rectangles by exact polygon clipping, in float64, for many pairs at once."""

from __future__ import annotations

import numpy as np

_CHUNK = 16384  # pairs whose polygons stay in a processor's cache


def rotated_intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the areas that pairs of rectangles share.

    A rectangle's length lies along ``(cos a, -sin a)``: KITTI's rotation about the y axis, seen in (x, z). The first
    rectangle is cut at the four sides of the second (Sutherland and Hodgman 1974).

    Args:
        first: ``(P, 5)`` x, z, length, width, angle in radians.
        second: ``(P, 5)``, likewise.

    Returns:
        ``(P,)`` float64; 0 where a rectangle has no positive length and width.
    """
    first, second = (np.asarray(boxes, np.float64).reshape(-1, 5) for boxes in (first, second))
    areas = np.zeros(len(first))
    reach = (np.hypot(first[:, 2], first[:, 3]) + np.hypot(second[:, 2], second[:, 3])) / 2
    near = np.hypot(first[:, 0] - second[:, 0], first[:, 1] - second[:, 1]) < reach
    proper = (first[:, 2:4] > 0).all(1) & (second[:, 2:4] > 0).all(1)
    rows = np.flatnonzero(near & proper)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        areas[part] = _clipped_areas(first[part], second[part])
    return areas


def _clipped_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the areas of the first rectangles ``(P, 5)`` within the second."""
    # In the frame of the second rectangle: its sides are x = +-length/2 and z = +-width/2, and numbers are small.
    cos, sin = np.cos(second[:, 4]), np.sin(second[:, 4])
    shift = first[:, :2] - second[:, :2]
    centre = np.stack([cos * shift[:, 0] - sin * shift[:, 1], sin * shift[:, 0] + cos * shift[:, 1]], 1)
    angle = first[:, 4] - second[:, 4]
    along = np.stack([np.cos(angle), -np.sin(angle)], 1) * first[:, 2:3] / 2
    across = np.stack([np.sin(angle), np.cos(angle)], 1) * first[:, 3:4] / 2
    corners = np.stack(
        [centre + along + across, centre - along + across, centre - along - across, centre + along - across], 1
    )
    halves = second[:, 2:4] / 2
    for axis in (0, 1):
        for sign in (1, -1):
            corners = _clip(corners, axis, sign, halves[:, axis])
    x, z = corners[..., 0], corners[..., 1]
    # numpy's sum adds in an order of the row's length, which is that of the largest polygon; this one adds from the
    # left, so that an area does not depend, in its last bit, on what else is computed
    return np.abs(np.cumsum(x * np.roll(z, -1, 1) - np.roll(x, -1, 1) * z, axis=1)[:, -1]) / 2


def _clip(corners: np.ndarray, axis: int, sign: int, limit: np.ndarray) -> np.ndarray:
    """Return the polygons ``(P, V, 2)`` where ``sign * corner[axis] <= limit``, with their first corner repeated.

    Repeated corners change no area. A polygon that is cut away becomes a single point.
    """
    distance = limit[:, None] - sign * corners[..., axis]
    following = np.roll(distance, -1, 1)
    inside = distance >= 0
    crossing = inside != (following >= 0)
    share = np.divide(distance, distance - following, out=np.zeros_like(distance), where=crossing)
    cuts = corners + share[..., None] * (np.roll(corners, -1, 1) - corners)
    # Each side gives its first corner, if that is inside, and then the cut, if there is one.
    points = np.stack([corners, cuts], 2).reshape(len(corners), -1, 2)
    kept = np.stack([inside, crossing], 2).reshape(len(corners), -1)
    counts = kept.sum(1)
    most = max(int(counts.max(initial=0)), 1)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :most]
    order = np.where(np.arange(most) < counts[:, None], order, order[:, :1])
    return np.take_along_axis(points, order[..., None], 1)
