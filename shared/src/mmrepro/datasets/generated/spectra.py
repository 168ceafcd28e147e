"""A generated hyperspectral scene with a fixed split, in the .mat file that SpectralFormer's data came in.

Fields are irregular regions; each material has a smooth reflectance with its own absorption bands, and pixels differ by
illumination and noise.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from .folder import temporary_folder
from .library import library

FILE = "spectra.mat"


def spectral_scene(size: int = 32, bands: int = 40, classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture ``(size, size, bands)`` float64 of reflectance, and its labels ``(size, size)`` from 1.

    A twelfth of the pixels has label 0: nobody has looked what grows there.

    Args:
        size: side in pixels.
        bands: how many.
        classes: how many materials.
        seed: of the scene.

    Raises:
        ValueError: there are fewer than 2 classes or 4 bands, or fewer than 16 pixels for each class.
    """
    if classes < 2 or bands < 4 or size * size < 16 * classes:
        raise ValueError(
            f"classes={classes} must be at least 2, bands={bands} at least 4 and size={size} such that each class has "
            "16 pixels"
        )
    draw = np.random.Generator(np.random.PCG64(seed))
    # each pixel belongs to the field whose middle is the nearest
    fields = 3 * classes
    middles = size * draw.random((fields, 2))
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
    distance = np.linalg.norm(places[:, :, None] - middles, axis=-1)
    labels = (distance.argmin(-1) % classes) + 1
    # a class whose fields are covered by others gets pixels round its middle of those that have more than they need
    owners, counts = labels.ravel(), np.bincount(labels.ravel(), minlength=classes + 1)
    for label in np.flatnonzero(counts[1:] < 16) + 1:
        for pixel in np.argsort(distance[:, :, label - 1], axis=None, kind="stable"):
            if counts[label] < 16 < counts[owners[pixel]]:
                counts[owners[pixel]] -= 1
                counts[label] += 1
                owners[pixel] = label
    wave = np.linspace(0, 1, bands)
    common = 0.3 + 0.3 * np.exp(-((wave - 0.55) ** 2) / 0.08)  # all plants look much alike
    dips = draw.random((classes, 2, 1))
    depths = 0.05 + 0.12 * draw.random((classes, 2, 1))
    pure = common - (depths * np.exp(-((wave - dips) ** 2) / 0.004)).sum(1)
    light = 0.85 + 0.3 * draw.random((size, size, 1))
    picture = light * pure[labels - 1] + 0.01 * draw.standard_normal((size, size, bands))
    labels[draw.random((size, size)) < 1 / 12] = 0
    return picture, labels


@cache
def spectra_file(size: int = 32, bands: int = 40, classes: int = 6, train_per_class: int = 20, seed: int = 0) -> Path:
    """Write a scene and its split into ``spectra.mat`` in a temporary folder, once for each settings; return the file.

    The file holds ``input`` ``(H, W, bands)`` and the label maps ``TR`` and ``TE`` ``(H, W)``, 0 where a pixel is not
    of that part. The folder is removed when the process ends.

    Args:
        size: side in pixels.
        bands: how many.
        classes: how many materials.
        train_per_class: pixels of each class to train on, at most half of them.
        seed: of the scene and the split.

    Raises:
        ValueError: no pixel is asked for, or the scene's settings are wrong.
        ModuleNotFoundError: scipy is not installed.
    """
    picture, labels = spectral_scene(size, bands, classes, seed)
    draw = np.random.Generator(np.random.PCG64([seed, 1]))
    train = np.zeros_like(labels)
    for label in range(1, classes + 1):
        places = np.flatnonzero(labels == label)
        chosen = draw.permutation(places)[: min(train_per_class, len(places) // 2)]
        train.ravel()[chosen] = label
    savemat = library("scipy.io", "scipy", "Scenes").savemat
    folder = temporary_folder("spectra", train_per_class)
    parts = dict(TR=train, TE=np.where(train > 0, 0, labels))
    savemat(folder / FILE, dict(input=picture, **{name: part.astype(np.uint8) for name, part in parts.items()}))
    return folder / FILE
