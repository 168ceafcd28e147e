"""Cutting large pictures into overlapping squares, lists of pictures, and LMDB folders of them.

The official training (HAT README, BasicSR ``docs/DatasetPreparation.md``) reads DF2K as squares of 480 pixels, 240
apart, because a large PNG decodes slowly. The names, their order and the list ``meta_info_DF2Ksub_GT.txt`` come out as
published. Nothing half-written stays: files appear whole, and an interrupted cut goes on where it stopped.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from mmrepro.engine.atomic_backend import write_atomically

from . import lmdb_images
from .image_io import ImageReadError, read_rgb, too_many_pixels
from .imresize import imresize
from .paired import image_files

HR_CROP, HR_STEP = 480, 240  # pixels of the truth; LR images are cut at the same places, divided by the scale
# Pictures of DF2K by part; the published list has the squares of all of them in one text order.
DF2K_PICTURES = {"Flickr2K": 2650, "DIV2K": 800}
COMPRESSION = 3  # zlib level of the PNG files
_SCALE_IN_NAME = re.compile(r"x[2348](?=$)")  # DIV2K's 0001x4.png belongs to 0001.png


def origins(side: int, crop: int, step: int, threshold: int = 0) -> list[int]:
    """Return where the squares along a side begin; a last one ends at the border if more than ``threshold`` is left.

    Raises:
        ValueError: the side is shorter than a square.
    """
    if side < crop:
        raise ValueError(f"a side of {side} pixels is shorter than the square of {crop}")
    starts = list(range(0, side - crop + 1, step))
    if side - (starts[-1] + crop) > threshold:
        starts.append(side - crop)
    return starts


def squares(height: int, width: int, crop: int, step: int) -> list[tuple[int, int]]:
    """Return the top left corners (y, x) of a picture's squares, row by row.

    Raises:
        ValueError: the picture is smaller than a square.
    """
    return [(y, x) for y in origins(height, crop, step) for x in origins(width, crop, step)]


def cut_folder(
    source: str | Path,
    target: str | Path,
    scale: int = 1,
    crop: int = HR_CROP,
    step: int = HR_STEP,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Cut all pictures of a folder into squares ``<name>_s001.png`` and on, in one flat folder.

    Squares that are there already are not cut again.

    Args:
        source: the folder; its sub-folders are searched too.
        target: where the squares go.
        scale: 1 for the truth; for low-resolution pictures what they are smaller by. Their ``x2`` at the end of the
            name is left out.
        crop, step: side and distance of the squares, in pixels of the truth.
        workers: processes.
        progress: called with how many pictures are done, and of how many.

    Returns:
        The number of squares.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ImageReadError: a picture cannot be read completely.
        ValueError: a picture is smaller than a square, two have the same name, or crop or step is no multiple of the
            scale.
    """
    if crop % scale or step % scale:
        raise ValueError(f"crop {crop} and step {step} must be multiples of the scale {scale}")
    names = pictures_by_name(image_files(source))
    cut = partial(_cut_picture, target=Path(target), crop=crop // scale, step=step // scale)
    total = 0
    for done, count in enumerate(_map(cut, list(names.items()), workers), 1):
        total += count
        if progress:
            progress(done, len(names))
    return total


def shrink_folder(
    source: str | Path,
    target: str | Path,
    scale: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the low-resolution pictures of a folder, ``<name>.png``, as MATLAB makes them from 8-bit pictures.

    Each is cut to a multiple of the scale first. The stored images of the benchmarks come out bit by bit.

    Args:
        source: the folder; its sub-folders are searched too, and come out as such.
        target: another folder, not below the source, where the low-resolution pictures go.
        scale: by what they are smaller.
        workers: processes.
        progress: called with how many pictures are done, and of how many.

    Returns:
        The number of pictures.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ImageReadError: a picture cannot be read completely.
        ValueError: a picture is smaller than the scale, two differ in their suffix alone, or the target is the source
            or lies below it.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ValueError(f"{target} holds the pictures themselves. Fix: choose another folder for the small ones")
    if source.resolve() in target.resolve().parents:
        raise ValueError(
            f"{target} lies inside {source}, whose sub-folders are searched. Fix: choose a folder beside it"
        )
    files, goals = image_files(source), {}
    for file in files:
        goal = target / file.relative_to(source).with_suffix(".png")
        if goal in goals:
            raise ValueError(f"{goals[goal]} and {file} would both become {goal}. Fix: rename one")
        goals[goal] = file
    shrink = partial(_shrink_picture, scale=scale)
    for done, _ in enumerate(_map(shrink, list(goals.items()), workers), 1):
        if progress:
            progress(done, len(files))
    return len(files)


def list_lines(folder: str | Path) -> Iterator[str]:
    """Yield ``<relative path> (h,w,c)`` of every picture in a folder and below, sorted; only headers are read.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ImageReadError: a file is no picture.
    """
    folder = Path(folder)
    # By the whole path as text, as the published list is sorted
    for name in sorted(path.relative_to(folder).as_posix() for path in image_files(folder)):
        yield f"{name} ({','.join(map(str, picture_shape(folder / name)))})"


def write_list(folder: str | Path, target: str | Path) -> int:
    """Write the list of a folder's pictures, which BasicImageDataset and ImageNetSRDataset take as ``ann_file``.

    Returns:
        The number of lines.

    Raises:
        FileNotFoundError, ImageReadError: as :func:`list_lines`.
    """
    lines = list(list_lines(folder))
    write_atomically("".join(f"{line}\n" for line in lines).encode(), target)
    return len(lines)


def write_lmdb(folder: str | Path, target: str | Path) -> int:
    """Write a folder's PNG files, as they are, into an LMDB folder; a key is the relative path without suffix.

    Returns:
        The number of images.

    Raises:
        FileNotFoundError, ImageReadError: as :func:`list_lines`.
        ValueError: a file is no PNG, or ``target`` does not end in ``.lmdb``.
        FileExistsError: ``target`` is there.
        ImportError: the package lmdb is not installed.
    """
    folder = Path(folder)
    files = image_files(folder)
    other = next((path for path in files if path.suffix.lower() != ".png"), None)
    if other is not None:
        raise ValueError(f"{other} is no PNG file. Fix: cut or convert the pictures first; the format holds PNG only")
    size = sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
    images = ((path.relative_to(folder).with_suffix("").as_posix(), path) for path in files)
    return lmdb_images.write(target, ((key, path.read_bytes(), picture_shape(path)) for key, path in images), size)


def pictures_by_name(files: Sequence[Path]) -> dict[str, Path]:
    """Return the files by the names of their squares.

    Raises:
        ValueError: two have the same.
    """
    names = {}
    for file in files:
        name = _SCALE_IN_NAME.sub("", file.stem)
        if name in names:
            raise ValueError(f"{names[name]} and {file} would have squares of the same name. Fix: rename one")
        names[name] = file
    return names


def _cut_picture(item: tuple[str, Path], target: Path, crop: int, step: int) -> int:
    name, path = item
    height, width, _ = picture_shape(path)
    try:
        corners = squares(height, width, crop, step)
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}. Fix: leave it out, or cut smaller squares") from None
    paths = [target / f"{name}_s{number:03d}.png" for number in range(1, len(corners) + 1)]
    if all(path.exists() for path in paths):
        return len(paths)
    image = read_rgb(path)
    for (y, x), goal in zip(corners, paths, strict=True):
        write_atomically(_png(image[y : y + crop, x : x + crop]), goal)
    return len(paths)


def _shrink_picture(item: tuple[Path, Path], scale: int) -> int:
    goal, path = item
    image = read_rgb(path)
    h, w = (side - side % scale for side in image.shape[:2])
    if not (h and w):
        raise ValueError(f"{path} is {image.shape[0]}x{image.shape[1]}, smaller than one pixel at scale {scale}")
    small = imresize(image[:h, :w], 1 / scale, "uint8", "replicate")
    write_atomically(_png(small), goal)
    return 1


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=COMPRESSION)
    return stream.getvalue()


def picture_shape(path: Path) -> tuple[int, int, int]:
    """Return (h, w, c) of the upright picture from its header.

    Raises:
        ImageReadError: the file is no picture, or one of too many pixels.
    """
    try:
        with Image.open(path) as image:
            lying = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            h, w = (image.width, image.height) if lying else (image.height, image.width)
            return h, w, len(image.getbands())
    except Image.DecompressionBombError as fault:
        raise too_many_pixels(path) from fault
    except Exception as fault:  # headers fail in as many ways as pixels, see decode_picture
        raise ImageReadError(
            f"{path} is no picture that can be read: {fault}. Fix: fetch the file again, or leave it out"
        ) from fault


def _map(function: Callable, items: Sequence, workers: int) -> Iterator[int]:
    if workers <= 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(min(workers, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, items, chunksize=4)
