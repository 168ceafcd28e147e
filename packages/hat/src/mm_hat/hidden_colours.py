"""Colours below full transparency, which nobody sees until interpolation mixes them into the edge.

Programs store black there, or what was there before. The paper's networks (arXiv 2205.04437) know no transparency.
"""

from __future__ import annotations

import cv2
import numpy as np


def with_visible_colours(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return a picture whose fully transparent pixels have the colour of the nearest other one.

    Args:
        rgb: (H, W, 3).
        alpha: (H, W); 0 is fully transparent.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return rgb
    # OpenCV numbers the pixels that are 0, and tells every other pixel the number of the nearest
    numbers = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    place = np.zeros(numbers.max() + 1, np.int64)
    place[numbers[~hidden]] = np.flatnonzero(~hidden)
    return rgb.reshape(-1, 3)[place[numbers]]  # (H, W, 3)
