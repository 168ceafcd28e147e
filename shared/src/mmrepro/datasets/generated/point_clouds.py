"""Generated point clouds of simple bodies, in the files of ModelNet40 and ScanObjectNN.

Points lie on the surfaces of bodies of random proportions, turned about the vertical axis (y, as in both data sets).
ScanObjectNN's are scans: only the side that faces the scanner, with noise and points of a ground below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from .folder import temporary_folder
from .library import library

_STEM = {"training": "training_objectdataset_augmentedrot_scale75", "test": "test_objectdataset_augmentedrot_scale75"}
_GROUND_SHARE = 0.15  # of a scan's points


def _ball(draw: np.random.Generator, count: int) -> np.ndarray:
    points = draw.standard_normal((count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _box(draw: np.random.Generator, count: int) -> np.ndarray:
    points = 2 * draw.random((count, 3)) - 1
    axis = draw.integers(3, size=count)
    points[np.arange(count), axis] = np.sign(points[np.arange(count), axis])
    return points * (0.7 + 0.3 * draw.random(3))


def _cylinder(draw: np.random.Generator, count: int) -> np.ndarray:
    angle, height = 2 * np.pi * draw.random(count), 2 * draw.random(count) - 1
    on_lid = draw.random(count) < 0.3
    radius = np.where(on_lid, np.sqrt(draw.random(count)), 1.0)
    height = np.where(on_lid, np.where(height < 0, -1.0, 1.0), height)
    tall = 1.4 + 0.6 * draw.random()
    return np.stack([radius * np.cos(angle), tall * height, radius * np.sin(angle)], axis=1)


def _cone(draw: np.random.Generator, count: int) -> np.ndarray:
    angle, radius = 2 * np.pi * draw.random(count), np.sqrt(draw.random(count))
    on_base = draw.random(count) < 0.3
    tall = 1.6 + 0.8 * draw.random()
    height = np.where(on_base, 0.0, tall * (1 - radius))
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)


def _ring(draw: np.random.Generator, count: int) -> np.ndarray:
    around, across = 2 * np.pi * draw.random((2, count))
    thick = 0.2 + 0.2 * draw.random()
    radius = 1 + thick * np.cos(across)
    return np.stack([radius * np.cos(around), thick * np.sin(across), radius * np.sin(around)], axis=1)


def _cross(draw: np.random.Generator, count: int) -> np.ndarray:
    points = _box(draw, count) * [1.0, 0.15, 0.15]
    turned = draw.random(count) < 0.5
    points[turned] = points[turned][:, [1, 0, 2]]
    return points


_BODIES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "ball": _ball,
    "box": _box,
    "cone": _cone,
    "cross": _cross,
    "cylinder": _cylinder,
    "ring": _ring,
}
KINDS = tuple(_BODIES)


def point_cloud(kind: str, points: int = 2048, seed: int = 0) -> np.ndarray:
    """Return a body's surface points ``(points, 3)`` float32, its middle at 0 and its farthest point at distance 1.

    Args:
        kind: one of :data:`KINDS`.
        points: how many.
        seed: of the body.

    Raises:
        ValueError: the kind is unknown or no point is asked for.
    """
    if kind not in _BODIES or points < 1:
        raise ValueError(f"kind={kind!r} must be one of {KINDS} and points={points} at least 1")
    draw = np.random.Generator(np.random.PCG64([seed, KINDS.index(kind)]))
    body = _turned(draw, _BODIES[kind](draw, points))
    return _normalised(body + 0.01 * draw.standard_normal(body.shape))


def point_scan(kind: str, points: int = 2048, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a scan's points ``(points, 3)`` float32 and its mask ``(points,)``: 0 on the body, -1 on the ground.

    Args:
        kind: one of :data:`KINDS`.
        points: how many.
        seed: of the body and of the scan.

    Raises:
        ValueError: the kind is unknown or no point is asked for.
    """
    body = point_cloud(kind, 4 * points, seed).astype(np.float64)
    draw = np.random.Generator(np.random.PCG64([seed, len(KINDS)]))
    ground = round(_GROUND_SHARE * points)
    seen = body[np.argsort(body[:, 2], kind="stable")[2 * points :]]  # the half that faces the scanner
    seen = seen[draw.permutation(len(seen))[: points - ground]]
    floor = np.stack([2 * draw.random(ground) - 1, np.full(ground, body[:, 1].min()), 2 * draw.random(ground) - 1], 1)
    mask = np.concatenate([np.zeros(len(seen), np.int64), np.full(ground, -1)])
    scan = np.concatenate([seen, floor])
    return _normalised(scan + 0.02 * draw.standard_normal(scan.shape)), mask


def _turned(draw: np.random.Generator, points: np.ndarray) -> np.ndarray:
    angle = 2 * np.pi * draw.random()
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T


def _normalised(points: np.ndarray) -> np.ndarray:
    points = points - points.mean(axis=0)
    return (points / np.linalg.norm(points, axis=1).max()).astype(np.float32)


@cache
def modelnet_folder(train: int = 48, test: int = 24, points: int = 2048, seed: int = 0) -> Path:
    """Write clouds in the files of ``modelnet40_ply_hdf5_2048`` into a temporary folder, once for each settings.

    The folder holds ``ply_data_{train,test}0.h5`` (``data`` ``(B, points, 3)`` float32, ``label`` ``(B, 1)`` uint8),
    ``{train,test}_files.txt`` and ``shape_names.txt``. Kinds take turns. It is removed when the process ends.

    Args:
        train: clouds to train on.
        test: clouds to test on.
        points: of each cloud.
        seed: of the first cloud; the next ones count up, those to test on after those to train on.

    Raises:
        ValueError: a part has no cloud, or no point is asked for.
        ModuleNotFoundError: h5py is not installed.
    """
    h5py = library("h5py", "h5py", "Clouds")
    folder = temporary_folder("modelnet", min(train, test))
    for part, first, count in (("train", 0, train), ("test", train, test)):
        labels = np.arange(count) % len(KINDS)
        clouds = [point_cloud(KINDS[label], points, seed + first + at) for at, label in enumerate(labels)]
        with h5py.File(folder / f"ply_data_{part}0.h5", "w") as file:
            file["data"] = np.stack(clouds)
            file["label"] = labels[:, None].astype(np.uint8)
        (folder / f"{part}_files.txt").write_text(
            f"data/modelnet40_ply_hdf5_2048/ply_data_{part}0.h5\n", encoding="utf-8"
        )
    (folder / "shape_names.txt").write_text("".join(f"{kind}\n" for kind in KINDS), encoding="utf-8")
    return folder


@cache
def scanobjectnn_folder(train: int = 48, test: int = 24, points: int = 2048, seed: int = 0) -> Path:
    """Write scans in the files of ScanObjectNN's hardest variant into a temporary folder, once for each settings.

    The folder holds ``main_split/{training,test}_objectdataset_augmentedrot_scale75.h5``: ``data`` ``(B, points, 3)``
    float32, ``label`` ``(B,)`` and ``mask`` ``(B, points)``. It is removed when the process ends.

    Args:
        train: scans to train on.
        test: scans to test on.
        points: of each scan.
        seed: of the first scan; the next ones count up, those to test on after those to train on.

    Raises:
        ValueError: a part has no scan, or no point is asked for.
        ModuleNotFoundError: h5py is not installed.
    """
    h5py = library("h5py", "h5py", "Scans")
    folder = temporary_folder("scanobjectnn", min(train, test), "main_split")
    for part, first, count in (("training", 0, train), ("test", train, test)):
        labels = np.arange(count) % len(KINDS)
        scans = [point_scan(KINDS[label], points, seed + first + at) for at, label in enumerate(labels)]
        with h5py.File(folder / "main_split" / f"{_STEM[part]}.h5", "w") as file:
            file["data"] = np.stack([scan for scan, _ in scans])
            file["label"] = labels.astype(np.int64)
            file["mask"] = np.stack([mask for _, mask in scans])
    return folder
