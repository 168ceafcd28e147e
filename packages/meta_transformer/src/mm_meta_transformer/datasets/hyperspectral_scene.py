"""A hyperspectral picture, scaled and cut into patches as the official code does it (Hyper-spectrum/train.py)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm_meta_transformer.datasets.data_error import DataError

if TYPE_CHECKING:
    from mm_meta_transformer.datasets.seeded_split import SeededSplit


class SceneError(DataError):
    """A file cannot be used as a hyperspectral scene; the text names the file, the variable and the fix."""


class SceneWarning(UserWarning):
    """A scene can be used, but something in it deserves a look."""


@dataclass(frozen=True)
class Scene:
    """A picture ``(H, W, bands)`` and its label maps ``(H, W)``, 0 where a pixel is not of that part."""

    picture: np.ndarray
    train: np.ndarray
    test: np.ndarray
    path: str


def read_scene(
    path: str | Path, keys: Sequence[str] = ("input", "TR", "TE"), split: SeededSplit | None = None
) -> Scene:
    """Read the ``.mat`` file of a scene; the last one is remembered, the arrays are read-only.

    Args:
        path: the file, of MATLAB up to 7.2.
        keys: its variables: the picture, the label map of training and that of testing. With ``split`` the picture, and
            the one label map in the split's file.
        split: what divides a scene without a fixed split.

    Raises:
        FileNotFoundError: no such file.
        SceneError: it is no such file, lacks a variable, or the variables do not fit together.
    """
    files = [Path(path)] if split is None else [Path(path), split.file]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file. Fix: mmrepro data list says where the data set comes from")
    facts = tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _remembered(files[0], facts, tuple(keys), split)


@lru_cache(maxsize=1)
def _remembered(
    path: Path, _facts: tuple[tuple[int, int], ...], keys: tuple[str, ...], split: SeededSplit | None
) -> Scene:
    if split is None:
        picture, *found = read_variables(
            path, keys, "keys of the data set, or split_seed where there is no fixed split"
        )
        maps = [_labels(path, key, labels) for key, labels in zip(keys[1:], found, strict=True)]
        return _checked(Scene(picture, *maps, str(path)), keys)
    (picture,), (found,) = read_variables(path, keys[:1]), read_variables(split.file, keys[1:])
    labels = _labels(split.file, keys[1], found)
    if picture.shape[:2] != labels.shape:
        raise SceneError(f"{split.file}: {keys[1]} is {labels.shape}, the picture {keys[0]} {picture.shape}")
    return _checked(Scene(picture, *split.maps(labels), str(path)), (*keys, keys[1]))


def read_variables(path: Path, keys: Sequence[str], fix: str = "keys of the data set") -> list[np.ndarray]:
    """Return variables of a ``.mat`` file.

    Args:
        path: the file.
        keys: names of the variables.
        fix: what an error says is to be done where one is absent.

    Raises:
        SceneError: it is none of MATLAB 4 to 7.2, or lacks one.
    """
    from scipy.io import loadmat  # half a second that a look at a config does without
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path)
    except (MatReadError, NotImplementedError, ValueError, TypeError) as fault:
        raise SceneError(
            f"{path} cannot be read as a MATLAB file of version 4 to 7.2: {fault}. Fix: save it with '-v7'"
        ) from fault
    absent = [key for key in keys if key not in found]
    if absent:
        names = ", ".join(key for key in found if not key.startswith("__"))
        raise SceneError(f"{path} has no {', '.join(absent)}; it has {names}. Fix: {fix}")
    return [np.asarray(found[key]) for key in keys]


def _labels(path: Path, key: str, labels: np.ndarray) -> np.ndarray:
    whole = labels.astype(np.int64)
    if labels.ndim != 2 or (whole != labels).any() or (whole < 0).any():
        raise SceneError(f"{path}: {key} {labels.shape} must be a map (H, W) of whole numbers from 0 on")
    return whole


def _checked(scene: Scene, keys: Sequence[str]) -> Scene:
    picture = scene.picture
    if picture.ndim != 3 or 0 in picture.shape:
        raise SceneError(f"{scene.path}: {keys[0]} is {picture.shape}, expected (H, W, bands)")
    for key, labels in zip(keys[1:], (scene.train, scene.test), strict=True):
        if labels.shape != picture.shape[:2]:
            raise SceneError(f"{scene.path}: {key} is {labels.shape}, the picture {keys[0]} {picture.shape}")
        if not labels.any():
            raise SceneError(f"{scene.path}: {key} labels no pixel")
    both = int(((scene.train > 0) & (scene.test > 0)).sum())
    if both:
        raise SceneError(f"{scene.path}: {both} pixels are labelled in {keys[1]} and in {keys[2]}, too")
    if not np.isfinite(picture).all():
        row, column, band = np.argwhere(~np.isfinite(picture))[0]
        raise SceneError(f"{scene.path}: pixel ({row}, {column}), band {band} is not finite. Fix: leave out that band")
    for array in (picture, scene.train, scene.test):
        array.flags.writeable = False
    return scene


def scaled(picture: np.ndarray, path: str = "the picture") -> np.ndarray:
    """Return a picture ``(H, W, bands)`` float32 with each band from 0 to 1 over the whole scene, test pixels too.

    A band of one value only becomes 0; a :class:`SceneWarning` counts such bands.
    """
    low, high = picture.min((0, 1)).astype(np.float64), picture.max((0, 1)).astype(np.float64)
    flat = low == high
    if flat.any():
        numbers = ", ".join(map(str, np.flatnonzero(flat)[:8]))
        warnings.warn(
            f"{path}: {flat.sum()} bands have one value only and become 0: {numbers}", SceneWarning, stacklevel=2
        )
    return ((picture - low) / np.where(flat, 1.0, high - low)).astype(np.float32)


def mirrored(picture: np.ndarray, patch_size: int) -> np.ndarray:
    """Return a picture ``(H + p - 1, W + p - 1, bands)`` with mirrored borders, the outermost pixels repeated.

    Raises:
        DataError: the patch is even, or needs more of a border than the picture is wide.
    """
    border = patch_size // 2
    if patch_size < 1 or patch_size % 2 == 0 or border > min(picture.shape[:2]):
        raise DataError(f"patch_size={patch_size} must be odd, and half of it at most {min(picture.shape[:2])} pixels")
    return np.pad(picture, ((border, border), (border, border), (0, 0)), mode="symmetric")


def band_offsets(near_bands: int, patch_size: int) -> tuple[int, ...]:
    """Return which neighbouring bands a token holds, in the order of the official code.

    In order for single pixels; for patches the nearest is the first of those below, so a patch with 5 bands has
    -1, -2, 0, 1, 2.

    Raises:
        DataError: the number of bands is even.
    """
    if near_bands < 1 or near_bands % 2 == 0:
        raise DataError(f"near_bands={near_bands} must be odd")
    half = near_bands // 2
    below = range(-half, 0) if patch_size == 1 else range(-1, -half - 1, -1)
    return (*below, *range(half + 1))


def pixel_bands(picture: np.ndarray, row: int, column: int, patch_size: int, near_bands: int) -> np.ndarray:
    """Return what the tokenizer reads of a pixel, ``(bands, p * p * b)``; bands before the first are the last ones.

    Args:
        picture: of :func:`mirrored`.
        row, column: of the pixel in the picture without its border.
        patch_size: ``p``, pixels of a patch's side.
        near_bands: ``b``, bands of a token.
    """
    patch = picture[row : row + patch_size, column : column + patch_size].reshape(patch_size**2, -1)
    near = [np.roll(patch, -offset, axis=1) for offset in band_offsets(near_bands, patch_size)]
    return np.concatenate(near).T  # (b*p*p, bands) -> (bands, b*p*p)


def labelled_pixels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places ``(N, 2)``, row and column, and the classes ``(N,)`` from 0 of a label map, class by class."""
    places = np.argwhere(labels > 0)
    classes = labels[places[:, 0], places[:, 1]] - 1
    order = np.argsort(classes, kind="stable")
    return places[order], classes[order]
