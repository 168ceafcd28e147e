"""What is wrong with the masks of COCO annotations: polygons and run lengths that no object can have."""

from __future__ import annotations

import math

_MARGIN = 0.1  # of the image's longer side: outlines stick out a little where a tool does not clip them


def fault_of_mask(mask: object, width: float, height: float) -> str | None:
    """Return what is wrong with the ``segmentation`` of an annotation; None where nothing is.

    Loaders leave out polygons that are none, and with them the object, or read them as boxes; run lengths of another
    size end a training in its midst.

    Args:
        mask: polygons ``[[x1, y1, x2, y2, ...], ...]`` in pixels, or run lengths ``{"size": [height, width], "counts":
            ...}`` as numbers or as pycocotools writes them.
        width, height: of the image, in pixels.
    """
    if isinstance(mask, dict):
        return _fault_of_runs(mask, width, height)
    if not isinstance(mask, list) or not mask:
        return "objects without a mask"
    return next(filter(None, (_fault_of_polygon(polygon, width, height) for polygon in mask)), None)


def _fault_of_runs(runs: dict, width: float, height: float) -> str | None:
    size, counts = runs.get("size"), runs.get("counts")
    if not isinstance(counts, (list, str)) or not isinstance(size, list):
        return "run lengths without size or counts"
    if size != [height, width]:
        return "run lengths of another size [height, width] than their image has"
    if isinstance(counts, list) and (not _are_numbers(counts) or sum(counts) != width * height):
        return "run lengths that do not fill their image"
    return None


def _fault_of_polygon(polygon: object, width: float, height: float) -> str | None:
    if not isinstance(polygon, list) or not _are_numbers(polygon):
        return "polygons that are no lists of finite numbers x, y, x, y, ..."
    if len(polygon) % 2:
        return "polygons with an odd number of coordinates"
    if len(polygon) < 6:
        return "polygons with fewer than three corners"
    x, y, margin = polygon[::2], polygon[1::2], _MARGIN * max(width, height)
    if min(x) < -margin or min(y) < -margin or max(x) > width + margin or max(y) > height + margin:
        return "polygons far outside their image"
    return None


def _are_numbers(values: list) -> bool:
    try:
        return math.isfinite(sum(values))  # data sets have millions of them: one call for all
    except TypeError:
        return False
