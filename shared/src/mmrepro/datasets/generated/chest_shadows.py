"""Generated pictures that look a little like chest radiographs, in class folders.

Two dark lungs, ribs, a heart, and in the one class bright spots in the upper lungs. They are drawings: nothing that is
learnt from them says anything about a patient.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .folder import temporary_folder

CLASSES = ("Normal", "Tuberculosis")

_PARTS = ("train", "test")


def chest_picture(kind: str, size: int = 64, seed: int = 0) -> np.ndarray:
    """Return a picture ``(size, size)`` uint8.

    Args:
        kind: one of :data:`CLASSES`; the second has spots.
        size: side in pixels, at least 32.
        seed: of the body, the spots and the noise.

    Raises:
        ValueError: the kind is unknown or the size too small.
    """
    if kind not in CLASSES or size < 32:
        raise ValueError(f"kind={kind!r} must be one of {CLASSES} and size={size} at least 32")
    draw = np.random.Generator(np.random.PCG64([seed, CLASSES.index(kind)]))
    flesh, air = int(draw.integers(150, 185)), int(draw.integers(45, 75))
    picture = Image.new("L", (size, size), flesh)
    canvas = ImageDraw.Draw(picture)
    shift_x, shift_y = 0.04 * (2 * draw.random(2) - 1)
    tall = 0.34 + 0.05 * draw.random()

    def around(x: float, y: float, across: float, down: float) -> list[float]:
        x, y = x + shift_x, y + shift_y
        return [size * (x - across), size * (y - down), size * (x + across), size * (y + down)]

    lungs = (0.3, 0.7)
    for x in lungs:
        canvas.ellipse(around(x, 0.5, 0.15, tall), fill=air)
    for rib in np.arange(0.2, 0.85, 0.1):
        for x in lungs:
            canvas.arc(around(x, rib + 0.1, 0.19, 0.1), 190, 350, fill=air + 45, width=max(1, size // 40))
    canvas.ellipse(around(0.56, 0.66, 0.13, 0.15), fill=flesh + 15)
    if kind == "Tuberculosis":
        for _ in range(int(draw.integers(2, 5))):
            x, y = lungs[draw.integers(2)] + 0.08 * (2 * draw.random() - 1), 0.26 + 0.2 * draw.random()
            radius = 0.025 + 0.035 * draw.random()
            canvas.ellipse(around(x, y, radius, radius), fill=int(draw.integers(170, 230)))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.008 * size)), dtype=np.float64)
    light = 0.85 + 0.3 * draw.random()
    return np.clip(light * soft + 5 * draw.standard_normal(soft.shape), 0, 255).round().astype(np.uint8)


@cache
def chest_folder(train: int = 64, test: int = 32, size: int = 64, seed: int = 0) -> Path:
    """Write pictures as ``{train,test}/<class>/<number>.png`` into a temporary folder, once for each settings.

    They are grey (one channel); classes take turns. The folder is removed when the process ends.

    Args:
        train: pictures to train on.
        test: pictures to test on.
        size: side in pixels.
        seed: of the first picture; the next ones count up.

    Raises:
        ValueError: a part has no picture, or the size is too small.
    """
    parts = [f"{part}/{kind}" if kind else part for part in _PARTS for kind in ("", *CLASSES)]
    folder = temporary_folder("chest_shadows", min(train, test), *parts)
    for part, first, count in (("train", 0, train), ("test", train, test)):
        for at in range(first, first + count):
            kind = CLASSES[at % len(CLASSES)]
            Image.fromarray(chest_picture(kind, size, seed + at)).save(folder / part / kind / f"{at:05d}.png")
    return folder
