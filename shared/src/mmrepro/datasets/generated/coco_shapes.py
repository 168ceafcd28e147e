"""Generated pictures with boxes and masks in COCO's format, for tests, the quickstart and demonstrations.

Discs, squares and triangles of random sizes, turned and coloured, before a noisy ground. They are written as picture
files and one ``instances.json``, for the real data sets and pycocotools to read back, so that nothing of a pipeline is
skipped. As in COCO itself, category ids have gaps, and some pictures have no object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .folder import temporary_folder

CATEGORIES = {1: "disc", 3: "square", 7: "triangle"}
PICTURES, ANNOTATIONS = "images", "annotations/instances.json"
SUFFIXES = (".png", ".jpg")
EMPTY_EVERY = 12  # one picture of so many has no object

_CORNERS = {"disc": 32, "square": 4, "triangle": 3}
_SUPERSAMPLING = 4  # drawn four times as large and averaged: edges are as soft as a camera's
_SMALLEST, _LARGEST = 0.12, 0.45  # diameters, by the side of the picture
_TRIES = 40  # places that an object is tried at before it is left out


@dataclass(frozen=True)
class Shape:
    """One object of a picture.

    Attributes:
        category: its id, one of :data:`CATEGORIES`.
        outline: corners ``(points, 2)`` as (x, y) in pixels.
        colour: RGB in [0, 255].
    """

    category: int
    outline: np.ndarray
    colour: tuple[int, int, int]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        return (*self.outline.min(0), *self.outline.max(0))


def shapes_picture(size: int, seed: int, objects: int = 3) -> tuple[np.ndarray, list[Shape]]:
    """Return a picture ``(H, W, 3)`` uint8 and its objects, which do not hide each other.

    Args:
        size: the picture's longer side in pixels; the shorter one is three quarters of it or the same.
        seed: of the picture.
        objects: how many at most.

    Raises:
        ValueError: the size is below 16 pixels or the number of objects is negative.
    """
    if size < 16 or objects < 0:
        raise ValueError(f"size={size} must be at least 16 and objects={objects} at least 0")
    draw = np.random.Generator(np.random.PCG64(seed))
    height, width = ((size, size), (size * 3 // 4, size), (size, size * 3 // 4))[draw.integers(3)]
    shapes: list[Shape] = []
    empty = objects == 0 or seed % EMPTY_EVERY == EMPTY_EVERY - 1
    for _ in range(0 if empty else draw.integers(1, objects + 1)):
        for _ in range(_TRIES):
            shape = _shape(draw, width, height)
            if not any(_overlap(shape.box, other.box) for other in shapes):
                shapes.append(shape)
                break
    return _paint(draw, width, height, shapes), shapes


def _shape(draw: np.random.Generator, width: int, height: int) -> Shape:
    category = int(draw.choice(list(CATEGORIES)))
    corners = _CORNERS[CATEGORIES[category]]
    radius = 0.5 * min(width, height) * (_SMALLEST + (_LARGEST - _SMALLEST) * draw.random())
    angles = 2 * np.pi * (np.arange(corners) / corners + draw.random())
    outline = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centre = radius + draw.random(2) * (np.array([width, height]) - 2 * radius)
    # a hue for each category, so that minutes of training show something; brightness says nothing
    colour = np.roll([200, 60, 60], list(CATEGORIES).index(category)) + draw.integers(-40, 41, 3)
    return Shape(category, outline + centre, tuple(int(value) for value in colour))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _paint(draw: np.random.Generator, width: int, height: int, shapes: list[Shape]) -> np.ndarray:
    ground = draw.integers(70, 190) + draw.integers(-12, 13, (height, width, 3))
    large = Image.fromarray(ground.astype(np.uint8).repeat(_SUPERSAMPLING, 0).repeat(_SUPERSAMPLING, 1))
    canvas = ImageDraw.Draw(large)
    for shape in shapes:
        # an outline's pixels are between its coordinates, Pillow's corners are the pixels' centres
        canvas.polygon([tuple(point) for point in shape.outline * _SUPERSAMPLING - 0.5], fill=shape.colour)
    cells = np.asarray(large, dtype=np.float64).reshape(height, _SUPERSAMPLING, width, _SUPERSAMPLING, 3)
    return cells.mean((1, 3)).round().astype(np.uint8)


@cache
def coco_folder(count: int = 8, size: int = 128, seed: int = 0, objects: int = 3, suffix: str = ".png") -> Path:
    """Write ``count`` pictures and their annotations into a temporary folder, once for each process and settings.

    The folder holds :data:`PICTURES` and :data:`ANNOTATIONS`: boxes ``[x, y, w, h]``, polygons and areas, numbered from
    1. It is removed when the process ends.

    Args:
        count: number of pictures.
        size: longer side in pixels.
        seed: of the first picture; the next ones count up.
        objects: how many a picture has at most.
        suffix: of the pictures' files; JPEG loses detail, and differs between libraries.

    Raises:
        ValueError: no picture is asked for, the suffix is unknown, or a picture's settings are wrong.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix={suffix!r} must be one of {SUFFIXES}")
    drawn = [shapes_picture(size, seed + number, objects) for number in range(count)]
    folder = temporary_folder("coco_shapes", count, PICTURES, str(Path(ANNOTATIONS).parent))
    images, annotations = [], []
    for number, (picture, shapes) in enumerate(drawn, 1):
        name = f"{number:012d}{suffix}"
        Image.fromarray(picture).save(folder / PICTURES / name)
        images.append(dict(id=number, file_name=name, height=picture.shape[0], width=picture.shape[1]))
        annotations += [dict(_annotation(shape), image_id=number) for shape in shapes]
    categories = [dict(id=number, name=name, supercategory="shape") for number, name in CATEGORIES.items()]
    numbered = [dict(annotation, id=number) for number, annotation in enumerate(annotations, 1)]
    whole = dict(info={}, licenses=[], images=images, annotations=numbered, categories=categories)
    (folder / ANNOTATIONS).write_text(json.dumps(whole), encoding="utf-8")
    return folder


def _annotation(shape: Shape) -> dict:
    left, top, right, bottom = (round(float(value), 2) for value in shape.box)
    x, y = shape.outline.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))  # the shoelace formula
    return dict(
        category_id=shape.category,
        bbox=[left, top, round(right - left, 2), round(bottom - top, 2)],
        segmentation=[[round(float(value), 2) for value in shape.outline.ravel()]],
        area=round(float(area), 2),
        iscrowd=0,
    )
