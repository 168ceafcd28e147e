"""Looking at every label map of a data set: whether it can be read, fits its picture, and which values it has.

mmsegmentation looks at none: a missing file stops training when it is drawn, a value outside the classes ends in an
assertion on the device or in a wrong gradient, and values above 255 are taken modulo 256 without a word.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from mmengine.fileio import get
from PIL import Image

VALUES = 256  # of a label map as it is loaded
_ORIENTATION = 0x0112  # the EXIF entry
_TURNED = (5, 6, 7, 8)  # its values that exchange width and height
FAULTS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # Pillow's, by format


class LabelMapError(ValueError):
    """A label map, or its picture, cannot be used; the message says why."""


@dataclass
class Survey:
    """What the label maps of a data set have in common.

    Attributes:
        maps: how many were looked at.
        pixels: by value, in how many pixels of the files it stands, ``(256,)``.
        files: by value, in how many files.
        first: by value that occurs, the first file that has it.
        faults: by file that cannot be used, why.
    """

    maps: int = 0
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(VALUES, np.int64))
    files: np.ndarray = field(default_factory=lambda: np.zeros(VALUES, np.int64))
    first: dict[int, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, counts: np.ndarray) -> None:
        """Take in a file's pixels by value, ``(256,)``."""
        self.maps += 1
        self.pixels += counts
        self.files += counts > 0
        for value in np.flatnonzero(counts).tolist():
            self.first.setdefault(value, path)

    def merge(self, other: Survey) -> None:
        """Take in what was found in other files."""
        self.maps += other.maps
        self.pixels += other.pixels
        self.files += other.files
        self.first = other.first | self.first
        self.faults |= other.faults


def survey(pairs: Iterable[tuple[str, str]], backend_args: Mapping | None = None, workers: int = 8) -> Survey:
    """Look at the label maps of pictures.

    Args:
        pairs: paths of pictures and of their label maps.
        backend_args: of mmengine's file backend; None for local files.
        workers: how many files are decoded at once.
    """
    found = Survey()

    def look(pair: tuple[str, str]) -> np.ndarray | LabelMapError:
        try:
            return label_counts(*pair, backend_args)
        except LabelMapError as fault:
            return fault

    listed = list(pairs)
    with ThreadPoolExecutor(workers) as pool:
        for (_, path), result in zip(listed, pool.map(look, listed), strict=True):
            if isinstance(result, LabelMapError):
                found.maps += 1
                found.faults[path] = str(result)
            else:
                found.add(path, result)
    return found


def label_counts(picture: str, mask: str, backend_args: Mapping | None = None) -> np.ndarray:
    """Return how many pixels of a label map have each value, ``(256,)``.

    Of the picture only the size is read.

    Raises:
        LabelMapError: one of the two is missing or cannot be read, they differ in size, or the label map has colours or
            values above 255.
    """
    try:
        with _open(mask, backend_args) as image:
            if len(image.getbands()) != 1:
                raise LabelMapError(f"it has colours (mode {image.mode}) where labels are one number per pixel")
            values = np.asarray(image)  # of a palette the places, not the colours
    except FileNotFoundError as fault:
        raise LabelMapError(f"it is missing; its picture is {picture}") from fault
    except LabelMapError:
        raise
    except FAULTS as fault:
        raise LabelMapError(f"it cannot be read ({fault})") from fault
    try:
        with _open(picture, backend_args) as image:
            width, height = image.size
            turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION) in _TURNED
    except FileNotFoundError as fault:
        raise LabelMapError(f"its picture {picture} is missing") from fault
    except FAULTS as fault:
        raise LabelMapError(f"its picture {picture} cannot be read ({fault})") from fault
    if turned:
        width, height = height, width
    if values.shape != (height, width):
        raise LabelMapError(
            f"it has {values.shape[1]} x {values.shape[0]} pixels, its picture {picture} {width} x {height}"
            f"{' when it is turned upright as its EXIF entry says' if turned else ''}"
        )
    if values.dtype != np.uint8:
        if values.min() < 0 or values.max() >= VALUES:
            raise LabelMapError(f"its values reach from {values.min()} to {values.max()}, and 0 to 255 can be loaded")
        values = values.astype(np.uint8)
    return np.bincount(values.ravel(), minlength=VALUES)


def _open(path: str, backend_args: Mapping | None) -> Image.Image:
    # Local pictures are opened, not read: their head is enough.
    return Image.open(path if backend_args is None else io.BytesIO(get(path, backend_args=dict(backend_args))))
