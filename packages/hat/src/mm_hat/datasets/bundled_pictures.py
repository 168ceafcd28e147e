"""Photographs that scikit-image ships, cut into squares: real pictures to train on without a download.

Only those that its documentation says are in the public domain or under CC0, and that are PNG files: a JPEG's artefacts
would be learnt as truth. None of them is in a test set of super-resolution.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS
from PIL import Image

from mm_hat.datasets.image_io import read_rgb
from mm_hat.datasets.paired import BasicImageDataset
from mm_hat.datasets.sub_images import squares

# Who made them and under which terms: the docstrings of skimage.data.
PICTURES = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "text")


@cache
def bundled_folder(size: int = 160) -> Path:
    """Cut the pictures into squares in a temporary folder, once for each process and size, and return it.

    A square decodes and shrinks in a fraction of a whole picture's time. The last ones of a row or column end at the
    border and overlap those before. The folder is removed when the process ends.

    Args:
        size: side of the squares in pixels, 1 to 172, which is the height of the smallest picture.

    Raises:
        ValueError: the size is not positive, or a picture is smaller.
        FileNotFoundError: scikit-image lacks a picture.
    """
    if size < 1:
        raise ValueError(f"size={size} must be at least 1")
    pictures = {name: np.ascontiguousarray(read_rgb(_file(name))) for name in PICTURES}
    corners = {name: squares(*picture.shape[:2], size, size) for name, picture in pictures.items()}
    folder = Path(tempfile.mkdtemp(prefix="mm_hat_pictures_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, picture in pictures.items():
        for number, (y, x) in enumerate(corners[name], 1):
            Image.fromarray(picture[y : y + size, x : x + size]).save(folder / f"{name}_s{number:03d}.png")
    return folder


def _file(name: str) -> Path:
    import skimage

    path = Path(skimage.__file__).parent / "data" / f"{name}.png"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there. Fix: pip install --force-reinstall scikit-image")
    return path


@DATASETS.register_module()
class BundledImageDataset(BasicImageDataset):
    """``BasicImageDataset`` of squares of scikit-image's pictures; the pipeline makes the low-resolution ones.

    Args:
        size: side of the squares, see :func:`bundled_folder`.
        kwargs: everything else as in :class:`BasicImageDataset`.
    """

    def __init__(self, size: int = 160, **kwargs: Any) -> None:
        super().__init__(data_prefix=dict(gt=str(bundled_folder(size))), **kwargs)
