"""Generated rooms with furniture as labelled, coloured points, in the files of S3DIS and of ScanNet.

Boxes and walls of random sizes, sampled evenly on their surfaces. Coordinates are metres, z is up.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from .folder import temporary_folder

CLASSES = (  # S3DIS's, in its order
    "ceiling",
    "floor",
    "wall",
    "beam",
    "column",
    "window",
    "door",
    "chair",
    "table",
    "bookcase",
    "sofa",
    "board",
    "clutter",
)
_SCANNET = {
    "wall": 0,
    "floor": 1,
    "chair": 4,
    "sofa": 5,
    "table": 6,
    "door": 7,
    "window": 8,
    "bookcase": 9,
}  # its numbers
AREAS = 6
TEST_AREA = 5

_COLOURS = {
    "ceiling": (225, 225, 220),
    "floor": (120, 95, 70),
    "wall": (200, 190, 170),
    "column": (160, 160, 165),
    "window": (150, 190, 225),
    "door": (140, 80, 40),
    "chair": (60, 60, 140),
    "table": (180, 140, 90),
    "bookcase": (110, 60, 50),
    "sofa": (150, 40, 50),
    "board": (245, 245, 250),
    "clutter": (90, 150, 90),
}


def point_room(points: int = 4096, seed: int = 0) -> np.ndarray:
    """Return a room ``(points, 7)`` float32: x, y, z in metres, red, green, blue in [0, 255], and the class.

    Args:
        points: how many.
        seed: of the room.

    Raises:
        ValueError: no point is asked for.
    """
    if points < 1:
        raise ValueError(f"points={points} must be at least 1")
    draw = np.random.Generator(np.random.PCG64(seed))
    plates = _plates(draw)
    sides = np.array([plate[2:] for plate in plates])
    areas = np.linalg.norm(np.cross(sides[:, 1], sides[:, 2]), axis=1)
    chosen = draw.choice(len(plates), size=points, p=areas / areas.sum())
    origins, first, second = sides[chosen].transpose(1, 0, 2)
    places = origins + draw.random((points, 1)) * first + draw.random((points, 1)) * second
    colours = np.array([plate[1] for plate in plates])[chosen] + draw.integers(-12, 13, (points, 3))
    labels = np.array([CLASSES.index(plate[0]) for plate in plates])[chosen]
    noisy = places + 0.005 * draw.standard_normal(places.shape)
    room = np.concatenate([noisy, np.clip(colours, 0, 255), labels[:, None]], axis=1)
    return room.astype(np.float32)


def _plates(draw: np.random.Generator) -> list[tuple]:
    """Return the room's rectangles: name, colour, corner and two sides in metres."""
    width, depth, height = 3 + 3 * draw.random(), 3 + 3 * draw.random(), 2.6 + 0.6 * draw.random()
    plates: list[tuple] = []

    def plate(name: str, corner: tuple, first: tuple, second: tuple) -> None:
        colour = np.clip(np.array(_COLOURS[name]) + draw.integers(-15, 16, 3), 0, 255)
        plates.append((name, colour, corner, first, second))

    def box(name: str, corner: tuple, size: tuple) -> None:
        (x, y, z), (a, b, c) = corner, size
        for level in (z, z + c):
            plate(name, (x, y, level), (a, 0, 0), (0, b, 0))
        for side in (y, y + b):
            plate(name, (x, side, z), (a, 0, 0), (0, 0, c))
        for side in (x, x + a):
            plate(name, (side, y, z), (0, b, 0), (0, 0, c))

    plate("floor", (0, 0, 0), (width, 0, 0), (0, depth, 0))
    plate("ceiling", (0, 0, height), (width, 0, 0), (0, depth, 0))
    for x in (0, width):
        plate("wall", (x, 0, 0), (0, depth, 0), (0, 0, height))
    for y in (0, depth):
        plate("wall", (0, y, 0), (width, 0, 0), (0, 0, height))
    # what hangs on a wall stands a little before it
    plate("window", (0.2 * width, depth - 0.03, 1.0), (0.5 * width, 0, 0), (0, 0, 1.2))
    plate("door", (0.3 * width, 0.03, 0), (0.9, 0, 0), (0, 0, 2.0))
    plate("board", (0.03, 0.3 * depth, 1.0), (0, 0.4 * depth, 0), (0, 0, 1.0))
    box("column", (width - 0.35, 0.05, 0), (0.3, 0.3, height))
    box("bookcase", (width - 0.4, 0.5 * depth, 0), (0.35, 1.0, 1.9))
    x, y = (0.25 + 0.2 * draw.random()) * width, (0.3 + 0.2 * draw.random()) * depth
    box("table", (x, y, 0.7), (1.2, 0.7, 0.05))
    box("chair", (x + 0.3, y - 0.5, 0.42), (0.45, 0.45, 0.05))
    box("chair", (x + 0.3, y - 0.5, 0.47), (0.45, 0.05, 0.45))
    box("sofa", (0.1, depth - 0.95, 0), (1.5, 0.8, 0.45))
    box("clutter", (x + 0.2, y + 0.2, 0.75), (0.3, 0.2, 0.25))
    return plates


@cache
def s3dis_folder(rooms: int = AREAS, points: int = 4096, seed: int = 0) -> Path:
    """Write rooms as OpenPoints' ``raw`` folder of S3DIS has them into a temporary folder, once for each settings.

    The folder holds ``raw/Area_<area>_<room>_<number>.npy``, each as :func:`point_room`; areas take turns, and area 5
    is the one to test on. It is removed when the process ends.

    Args:
        rooms: how many; six or more, so that each area has one.
        points: of each room.
        seed: of the first room; the next ones count up.

    Raises:
        ValueError: there are fewer rooms than areas, or no point is asked for.
    """
    if rooms < AREAS:
        raise ValueError(f"rooms={rooms} must be at least {AREAS}, one for each area")
    folder = temporary_folder("s3dis", rooms, "raw")
    for number in range(rooms):
        name = f"Area_{number % AREAS + 1}_office_{number // AREAS + 1}.npy"
        np.save(folder / "raw" / name, point_room(points, seed + number))
    return folder


@cache
def scannet_folder(rooms: int = 4, points: int = 4096, seed: int = 0) -> Path:
    """Write rooms as OpenPoints' files of ScanNet into a temporary folder, once for each settings.

    The folder holds ``{train,val}/scene<number>_00.pth``, each a tuple of places in metres ``(points, 3)``, colours in
    [-1, 1] and classes ``(points,)``, -100 for clutter, which ScanNet's benchmark does not count. Every fourth room is
    in ``val``. It is removed when the process ends.

    Args:
        rooms: how many; four or more, so that both parts have one.
        points: of each room.
        seed: of the first room; the next ones count up.

    Raises:
        ValueError: there are too few rooms, or no point is asked for.
    """
    if rooms < 4:
        raise ValueError(f"rooms={rooms} must be at least 4, three to train on and one to validate on")
    folder = temporary_folder("scannet", rooms, "train", "val")
    for number in range(rooms):
        room = point_room(points, seed + number)
        labels = np.array([_SCANNET.get(name, -100) for name in CLASSES])[room[:, 6].astype(np.int64)]
        part = "val" if number % 4 == 3 else "train"
        torch.save((room[:, :3], room[:, 3:6] / 127.5 - 1, labels), folder / part / f"scene{number:04d}_00.pth")
    return folder
