"""Generated objects of several parts as labelled points with normals, in the files of ShapeNetPart.

A table of a top and legs, and a mug of a body and a handle: two of the benchmark's categories, with its part labels.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from .folder import temporary_folder

CATEGORIES = {"Mug": "03797390", "Table": "04379243"}  # by the benchmark's names: WordNet's offsets
PARTS = {"Mug": (36, 37), "Table": (47, 48)}  # body and handle; top and legs

_SPLITS = "train_test_split"


def part_cloud(category: str, points: int = 2048, seed: int = 0) -> np.ndarray:
    """Return an object ``(points, 7)`` float32: x, y, z (y is up), the unit normal, and the part's label.

    Args:
        category: one of :data:`CATEGORIES`.
        points: how many.
        seed: of the object.

    Raises:
        ValueError: the category is unknown, or fewer than 8 points are asked for.
    """
    if category not in CATEGORIES or points < 8:
        raise ValueError(f"category={category!r} must be one of {tuple(CATEGORIES)} and points={points} at least 8")
    draw = np.random.Generator(np.random.PCG64(seed))
    main, second = PARTS[category]
    few = points * 3 // 10
    if category == "Mug":
        pieces = [_tube(draw, points - few), _handle(draw, few)]
    else:
        top = _slab(draw, points - few, np.array([0.0, 0.5, 0.0]), np.array([0.6, 0.03, 0.4]))
        feet = np.array_split(np.arange(few), 4)
        corners = [(x, 0.25, z) for x in (-0.5, 0.5) for z in (-0.3, 0.3)]
        half = np.array([0.03, 0.22, 0.03])
        legs = [_slab(draw, len(foot), np.array(at), half) for foot, at in zip(feet, corners, strict=True)]
        pieces = [top, np.concatenate(legs)]
    labels = np.repeat([main, second], [len(piece) for piece in pieces])
    cloud = np.concatenate([np.concatenate(pieces), labels[:, None]], axis=1)
    cloud[:, :3] *= 0.8 + 0.4 * draw.random()
    return cloud[draw.permutation(points)].astype(np.float32)


def _tube(draw: np.random.Generator, count: int) -> np.ndarray:
    angle = 2 * np.pi * draw.random(count)
    normal = np.stack([np.cos(angle), np.zeros(count), np.sin(angle)], axis=1)
    return np.concatenate([0.3 * normal + (0.8 * draw.random(count) - 0.4)[:, None] * [0, 1, 0], normal], axis=1)


def _handle(draw: np.random.Generator, count: int) -> np.ndarray:
    around, across = np.pi * draw.random(count) - np.pi / 2, 2 * np.pi * draw.random(count)
    outward = np.stack([np.cos(around), np.sin(around), np.zeros(count)], axis=1)
    normal = np.cos(across)[:, None] * outward + np.sin(across)[:, None] * [0, 0, 1]
    return np.concatenate([[0.3, 0, 0] + 0.2 * outward + 0.04 * normal, normal], axis=1)


def _slab(draw: np.random.Generator, count: int, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    areas = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = draw.choice(3, size=count, p=areas / areas.sum())
    places, normal = 2 * draw.random((count, 3)) - 1, np.zeros((count, 3))
    normal[np.arange(count), axis] = np.where(draw.random(count) < 0.5, -1.0, 1.0)
    places = np.where(normal == 0, places, normal)
    return np.concatenate([middle + half * places, normal], axis=1)


@cache
def shapenetpart_folder(train: int = 8, val: int = 2, test: int = 4, points: int = 2048, seed: int = 0) -> Path:
    """Write objects in ShapeNetPart's files (the variant with normals) into a temporary folder, once for each settings.

    The folder holds ``synsetoffset2category.txt``, ``<offset>/<object>.txt`` with seven numbers a line, and
    ``train_test_split/shuffled_{train,val,test}_file_list.json``. It is removed when the process ends.

    Args:
        train: objects to train on; categories take turns.
        val: objects to validate on.
        test: objects to test on.
        points: of each object.
        seed: of the first object; the next ones count up.

    Raises:
        ValueError: a part has no object, or there are too few points.
    """
    folder = temporary_folder("shapenetpart", min(train, val, test), *CATEGORIES.values(), _SPLITS)
    lines = "".join(f"{name}\t{offset}\n" for name, offset in CATEGORIES.items())
    (folder / "synsetoffset2category.txt").write_text(lines, encoding="utf-8")
    number = 0
    for part, count in (("train", train), ("val", val), ("test", test)):
        listed = []
        for at in range(count):
            category = tuple(CATEGORIES)[at % len(CATEGORIES)]
            name = f"{CATEGORIES[category]}/object{number:04d}"
            np.savetxt(folder / f"{name}.txt", part_cloud(category, points, seed + number), fmt="%.6f")
            listed.append(f"shape_data/{name}")
            number += 1
        (folder / _SPLITS / f"shuffled_{part}_file_list.json").write_text(json.dumps(listed), encoding="utf-8")
    return folder
