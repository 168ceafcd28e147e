"""Generated pictures with label maps, for tests, the quickstart and demonstrations of semantic segmentation.

The pictures are those of :mod:`mmrepro.datasets.generated.coco_shapes`; a pixel's label is the class of the shape that
covers its centre. They are written as picture files and, as in public data sets, label maps of one channel under the
same names, for the real data sets to read back, so that nothing of a pipeline is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from .coco_shapes import CATEGORIES, Shape, shapes_picture
from .folder import temporary_folder

CLASSES = ("ground", *CATEGORIES.values())
PALETTE = ((120, 120, 120), (209, 73, 91), (47, 158, 68), (31, 111, 178))  # near the shapes' own colours
PICTURES, MASKS = "images", "masks"


def label_map(height: int, width: int, shapes: Sequence[Shape]) -> np.ndarray:
    """Return the labels ``(H, W)`` uint8 of a picture, places in :data:`CLASSES`.

    Args:
        height, width: of the picture in pixels.
        shapes: its objects, whose outlines are convex.
    """
    labels = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5  # the pixels' centres
    for shape in shapes:
        first, second = shape.outline, np.roll(shape.outline, -1, axis=0)
        inside = np.ones_like(labels, dtype=bool)
        for (x0, y0), (x1, y1) in zip(first, second, strict=True):
            inside &= (x1 - x0) * (y - y0) >= (y1 - y0) * (x - x0)  # on the inner side of this edge
        labels[inside] = CLASSES.index(CATEGORIES[shape.category])
    return labels


@cache
def seg_folder(count: int = 8, size: int = 128, seed: int = 0, objects: int = 3) -> Path:
    """Write ``count`` pictures and their label maps into a temporary folder, once for each process and settings.

    The folder holds :data:`PICTURES` and :data:`MASKS`, PNG files of the same names. It is removed when the process
    ends.

    Args:
        count: number of pictures.
        size: longer side in pixels.
        seed: of the first picture; the next ones count up.
        objects: how many a picture has at most.

    Raises:
        ValueError: no picture is asked for, or a picture's settings are wrong.
    """
    drawn = [shapes_picture(size, seed + number, objects) for number in range(count)]
    folder = temporary_folder("seg_shapes", count, PICTURES, MASKS)
    for number, (picture, shapes) in enumerate(drawn):
        name = f"shapes_{number:04d}.png"
        Image.fromarray(picture).save(folder / PICTURES / name)
        Image.fromarray(label_map(*picture.shape[:2], shapes)).save(folder / MASKS / name)
    return folder
