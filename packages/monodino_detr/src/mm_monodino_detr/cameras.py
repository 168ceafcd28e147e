"""The cameras of pictures that come without a data set: files of calibration, matrices, or a focal length."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np

from mm_monodino_detr.datasets.kitti_calibration import (
    CalibrationError,
    KittiCalibration,
    checked_calibration,
    read_calibration,
)
from mmrepro.engine.errors import UserError
from mmrepro.pictures import pixels, stem_of

Camera = str | Path | np.ndarray | Sequence | float
"""A calibration file, a 3 x 4 or 3 x 3 matrix, or a focal length in pixels."""

_FIX = (
    "Fix: camera=... with a calibration file in KITTI's format, a folder of them named like the pictures, a 3 x 4 or "
    "3 x 3 matrix, or a focal length in pixels"
)


def cameras_of(sources: Sequence[str | np.ndarray], camera: Camera | None) -> list[KittiCalibration]:
    """Return the camera of each picture.

    Args:
        sources: files, URLs and arrays.
        camera: one for all pictures: a calibration file, a projection ``(3, 4)``, an intrinsic matrix ``(3, 3)``, or a
            focal length in pixels, with which the camera looks through the middle of the picture. One for each: a
            folder of calibration files, or a list of what may be given for all.

    Raises:
        UserError: there is none, or as many as pictures they are not.
        CalibrationError: a file is missing or broken, or a matrix or a number is no camera's; it names the picture.
    """
    if camera is None:
        raise UserError(f"there is no camera, without which a picture tells no metres. {_FIX}")
    if isinstance(camera, str | Path) and Path(camera).is_dir():
        return [read_calibration(_of_folder(Path(camera), source)) for source in sources]
    if _is_one(camera):
        return [_read(camera, source) for source in sources]
    if len(camera) != len(sources):
        raise UserError(f"there are {len(camera)} cameras for {len(sources)} pictures. Fix: one for all, or one each")
    return [_read(one, source) for one, source in zip(camera, sources, strict=True)]


def _is_one(camera: Camera) -> bool:
    """Return whether it is one camera: not a list, or one of rows of numbers."""
    if isinstance(camera, str | Path | Real) or not isinstance(camera, Sequence | np.ndarray):
        return True
    if isinstance(camera, np.ndarray):
        return camera.ndim in (0, 2)
    rows = [one for one in camera if isinstance(one, Sequence | np.ndarray) and not isinstance(one, str)]
    return len(rows) == len(camera) and all(np.ndim(row) == 1 for row in rows)


def _read(camera: Camera, source: str | np.ndarray) -> KittiCalibration:
    if isinstance(camera, str | Path):
        return read_calibration(camera)
    name = f"the camera of {source}" if isinstance(source, str) else "the camera of an array"
    try:
        matrix = np.asarray(camera, np.float64)
    except (TypeError, ValueError) as fault:
        raise CalibrationError(f"{name} holds no numbers: {str(camera)[:60]}. {_FIX}") from fault
    if matrix.ndim == 0:
        height, width = pixels(source).shape[:2]
        if not np.isfinite(matrix) or matrix <= 0:
            raise CalibrationError(f"{name} has a focal length of {matrix:g} pixels. Fix: a positive number")
        return KittiCalibration.of_focal_length(float(matrix), width, height)
    if matrix.shape not in ((3, 4), (3, 3)):
        raise CalibrationError(f"{name} has shape {matrix.shape}. {_FIX}")
    if matrix.shape == (3, 3):
        matrix = np.concatenate([matrix, np.zeros((3, 1))], axis=1)
    return checked_calibration(matrix, name)


def _of_folder(folder: Path, source: str | np.ndarray) -> Path:
    if isinstance(source, np.ndarray):
        raise UserError(f"an array has no name to find its calibration in {folder} by. Fix: camera=[...] for each")
    return folder / f"{stem_of(source)}.txt"
