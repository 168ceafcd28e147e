"""Generated thermal pictures: warm bodies before a cool ground, as class folders, or of persons in RegDB's files.

They are drawn, not measured: brightness stands for temperature, and blur for a thermal camera's low resolution.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .folder import temporary_folder

CLASSES = ("animal", "car", "empty", "person")
CAMERAS = ("Thermal", "Visible")

_PARTS = ("train", "test")


def thermal_picture(kind: str, size: int = 64, seed: int = 0) -> np.ndarray:
    """Return a picture ``(size, size)`` uint8 of one warm object.

    Args:
        kind: one of :data:`CLASSES`.
        size: side in pixels, at least 16.
        seed: of the picture.

    Raises:
        ValueError: the kind is unknown or the size too small.
    """
    if kind not in CLASSES or size < 16:
        raise ValueError(f"kind={kind!r} must be one of {CLASSES} and size={size} at least 16")
    draw = np.random.Generator(np.random.PCG64([seed, CLASSES.index(kind)]))
    picture = Image.new("L", (size, size), int(draw.integers(30, 80)))
    canvas = ImageDraw.Draw(picture)
    scale = size * (0.6 + 0.3 * draw.random())
    left, top = draw.random(2) * (size - scale)
    warm = int(draw.integers(140, 230))

    def at(x0: float, y0: float, x1: float, y1: float) -> list[float]:
        return [left + scale * x0, top + scale * y0, left + scale * x1, top + scale * y1]

    if kind == "person":
        canvas.ellipse(at(0.42, 0.02, 0.58, 0.2), fill=warm + 20)
        canvas.ellipse(at(0.35, 0.2, 0.65, 0.62), fill=warm)
        for x in (0.38, 0.53):
            canvas.rectangle(at(x, 0.55, x + 0.1, 0.98), fill=warm - 20)
    elif kind == "car":
        canvas.rectangle(at(0.0, 0.5, 1.0, 0.75), fill=warm - 60)
        canvas.rectangle(at(0.2, 0.32, 0.75, 0.5), fill=warm - 80)
        canvas.rectangle(at(0.72, 0.52, 0.98, 0.7), fill=warm + 20)  # the engine
        for x in (0.1, 0.7):
            canvas.ellipse(at(x, 0.66, x + 0.2, 0.86), fill=warm)
    elif kind == "animal":
        canvas.ellipse(at(0.1, 0.4, 0.8, 0.68), fill=warm)
        canvas.ellipse(at(0.72, 0.28, 0.95, 0.5), fill=warm + 20)
        for x in (0.18, 0.32, 0.56, 0.7):
            canvas.rectangle(at(x, 0.6, x + 0.06, 0.9), fill=warm - 20)
    return _as_seen(draw, picture, blur=0.015)


def person_picture(person: int, camera: str = "Thermal", size: int = 64, seed: int = 0) -> np.ndarray:
    """Return a picture of a person, who has the same build in all of them: ``(2 size, size)`` uint8, or RGB.

    Args:
        person: number of the person, which gives the build and the warmth of head, trunk and legs.
        camera: "Thermal", a grey picture, or "Visible", ``(2 size, size, 3)`` with the clothes' colours.
        size: width in pixels, at least 16.
        seed: of the picture: place, pose and ground.

    Raises:
        ValueError: the camera is unknown or the size too small.
    """
    if camera not in CAMERAS or size < 16:
        raise ValueError(f"camera={camera!r} must be one of {CAMERAS} and size={size} at least 16")
    body = np.random.Generator(np.random.PCG64([person, 0]))
    draw = np.random.Generator(np.random.PCG64([person, 1 + CAMERAS.index(camera), seed]))
    tall, broad, hips, head = 0.75 + 0.2 * body.random(), *(0.3 + 0.3 * body.random(2)), 0.1 + 0.06 * body.random()
    warmth, clothes = body.integers(100, 250, 3), body.integers(30, 230, (3, 3))
    stripe, stripe_at = body.random() < 0.5, 0.25 + 0.2 * body.random()
    thermal = camera == "Thermal"
    ground = int(draw.integers(20, 60)) if thermal else tuple(int(v) for v in draw.integers(90, 200, 3))
    picture = Image.new("L" if thermal else "RGB", (size, 2 * size), ground)
    canvas = ImageDraw.Draw(picture)
    fills = [int(v) for v in warmth] if thermal else [tuple(int(v) for v in colour) for colour in clothes]
    middle, foot = size * (0.45 + 0.1 * draw.random()), 2 * size * (0.95 + 0.04 * draw.random())
    height, stride = 2 * size * tall, 0.03 + 0.12 * draw.random()

    def at(x0: float, y0: float, x1: float, y1: float) -> list[float]:
        return [middle + size * x0, foot - height * y1, middle + size * x1, foot - height * y0]

    for side in (-1, 1):
        x = side * (hips / 4 + stride / 2)
        canvas.rectangle(at(x - hips / 5, 0.0, x + hips / 5, 0.48), fill=fills[2])
    canvas.ellipse(at(-broad / 2, 0.42, broad / 2, 0.86), fill=fills[1])
    if stripe:
        canvas.rectangle(at(-broad / 3, stripe_at + 0.3, broad / 3, stripe_at + 0.36), fill=fills[0])
    canvas.ellipse(at(-head, 0.84, head, 1.0), fill=fills[0])
    return _as_seen(draw, picture, blur=0.02)


def _as_seen(draw: np.random.Generator, picture: Image.Image, blur: float) -> np.ndarray:
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur * picture.width)), dtype=np.float64)
    return np.clip(soft + 4 * draw.standard_normal(soft.shape), 0, 255).round().astype(np.uint8)


@cache
def thermal_folder(train: int = 64, test: int = 32, size: int = 64, seed: int = 0) -> Path:
    """Write thermal pictures as ``{train,test}/<class>/<number>.png`` into a temporary folder, once for each settings.

    The pictures are grey (one channel); classes take turns. The folder is removed when the process ends.

    Args:
        train: pictures to train on.
        test: pictures to test on.
        size: side in pixels.
        seed: of the first picture; the next ones count up.

    Raises:
        ValueError: a part has no picture, or the size is too small.
    """
    parts = [f"{part}/{kind}" if kind else part for part in _PARTS for kind in ("", *CLASSES)]
    folder = temporary_folder("thermal", min(train, test), *parts)
    for part, first, count in (("train", 0, train), ("test", train, test)):
        for at in range(first, first + count):
            kind = CLASSES[at % len(CLASSES)]
            Image.fromarray(thermal_picture(kind, size, seed + at)).save(folder / part / kind / f"{at:05d}.png")
    return folder


@cache
def regdb_folder(train: int = 8, test: int = 8, pictures: int = 6, size: int = 32, seed: int = 0) -> Path:
    """Write persons in RegDB's layout into a temporary folder, once for each settings.

    The folder holds ``{Thermal,Visible}/<person>/<name>.png`` (RegDB's own pictures are bmp) and
    ``idx/{train,test}_{thermal,visible}_1.txt`` with lines ``<path> <label>``, labels counted from 0 in each part. The
    persons of the two parts are different ones. It is removed when the process ends.

    Args:
        train: persons to train on.
        test: persons to test on.
        pictures: of each person and camera.
        size: width of a picture in pixels; it is twice as high.
        seed: first person's number; the next ones count up.

    Raises:
        ValueError: a part has no person, no picture is asked for, or the size is too small.
    """
    persons = range(1, train + test + 1)
    parts = [f"{camera}/{one}" if one else camera for camera in CAMERAS for one in ("", *persons)]
    folder = temporary_folder("regdb", min(train, test, pictures), "idx", *parts)
    for camera in CAMERAS:
        lines: dict[str, list[str]] = {part: [] for part in _PARTS}
        for person in persons:
            part, label = ("train", person - 1) if person <= train else ("test", person - 1 - train)
            for at in range(pictures):
                name = f"{camera}/{person}/person_{camera[0].lower()}_{at:05d}_{person}.png"
                Image.fromarray(person_picture(seed + person, camera, size, at)).save(folder / name)
                lines[part].append(f"{name} {label}\n")
        for part, listed in lines.items():
            (folder / "idx" / f"{part}_{camera.lower()}_1.txt").write_text("".join(listed), encoding="utf-8")
    return folder
