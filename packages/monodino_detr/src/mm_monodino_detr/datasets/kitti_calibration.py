"""KITTI's calibration files: the projection of the left colour camera, ``P2``.

Geiger et al., Are we ready for autonomous driving? The KITTI vision benchmark suite (CVPR 2012), development kit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrepro.engine.errors import UserError

_NUMBERS = 12


class CalibrationError(UserError, ValueError):
    """A calibration cannot be used; the message names the file, the key and the fix."""


@dataclass(frozen=True)
class KittiCalibration:
    """The camera of one picture.

    Attributes:
        p2: projection ``(3, 4)`` float32 from rectified camera coordinates in metres to homogeneous pixels of the
            original picture.
    """

    p2: np.ndarray

    @classmethod
    def of_focal_length(cls, focal: float, width: int, height: int) -> KittiCalibration:
        """Return a camera without any offset that looks through the middle of a picture.

        Args:
            focal: focal length in pixels.
            width: of the picture.
            height: of the picture.

        Raises:
            CalibrationError: the focal length is not positive.
        """
        rows = [[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]]
        return checked_calibration(np.array(rows, np.float32), "a focal length")

    @property
    def focal(self) -> tuple[float, float]:
        """Horizontal and vertical focal length in pixels."""
        return float(self.p2[0, 0]), float(self.p2[1, 1])

    @property
    def principal_point(self) -> tuple[float, float]:
        """Where the optical axis meets the picture, in pixels."""
        return float(self.p2[0, 2]), float(self.p2[1, 2])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels ``(N, 2)`` of points ``(N, 3)`` in metres.

        As the official code does, the first two rows are divided by z, not by the third row of the product, which
        differs from z by ``P2[2, 3]`` (3 mm in KITTI).
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        rows = points @ self.p2[:2, :3].T.astype(np.float64) + self.p2[:2, 3]
        return rows / points[:, 2:]

    def viewing_angle(self, columns: np.ndarray | float) -> np.ndarray:
        """Return the angles in radians between the optical axis and the rays through columns of the picture.

        The observation angle alpha is the heading less this angle.
        """
        return np.arctan2(np.asarray(columns, np.float64) - self.p2[0, 2], self.p2[0, 0])


def read_calibration(path: str | Path) -> KittiCalibration:
    """Read ``P2`` of a calibration file, wherever in the file it stands; other lines are not looked at.

    Raises:
        CalibrationError: the file is missing or no text, has no ``P2`` or two, or its numbers are too few, too many,
            not finite or no camera's.
    """
    path = Path(path)
    if not path.is_file():
        raise CalibrationError(
            f"{path}: there is no such calibration file. Fix: a text file with the line 'P2: ' and 12 numbers, the "
            "3 x 4 projection row by row"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # some editors write a mark at the beginning
    except UnicodeDecodeError as fault:
        raise CalibrationError(f"{path} is no text file ({fault}). Fix: one in KITTI's format") from fault
    parts = [line.partition(":") for line in lines]
    found = [(row, numbers) for row, (key, _, numbers) in enumerate(parts, 1) if key.strip() == "P2"]
    if len(found) != 1:
        keys = ", ".join(key.strip() for key, colon, _ in parts if colon)
        said = "no line" if not found else f"{len(found)} lines"
        raise CalibrationError(
            f"{path} has {said} 'P2:' (keys: {keys or 'none'}). Fix: one line 'P2: ' and 12 numbers, the 3 x 4 "
            "projection of the left colour camera row by row"
        )
    ((row, text),) = found
    words = text.split()
    if len(words) != _NUMBERS:
        raise CalibrationError(
            f"{path}, line {row}: P2 has {len(words)} numbers, a 3 x 4 projection has {_NUMBERS}. Fix: write it row by "
            "row, with the fourth column (zeros where the camera has no offset)"
        )
    try:
        numbers = [float(word) for word in words]
    except ValueError as fault:
        raise CalibrationError(f"{path}, line {row}: P2 holds no number ({fault}). Fix: 12 numbers") from fault
    return checked_calibration(np.array(numbers, np.float32).reshape(3, 4), f"{path}, line {row}")


def checked_calibration(p2: np.ndarray, source: str) -> KittiCalibration:
    """Return the calibration of a projection ``(3, 4)``.

    Args:
        p2: the projection.
        source: named in errors.

    Raises:
        CalibrationError: the shape is another, a number is not finite, a focal length is not positive, or the last row
            does not give the depth.
    """
    p2 = np.asarray(p2, np.float32)
    if p2.shape != (3, 4):
        raise CalibrationError(f"{source}: P2 has shape {p2.shape}. Fix: 3 rows of 4 numbers")
    if not np.isfinite(p2).all():
        raise CalibrationError(f"{source}: P2 is not finite: {p2.tolist()}. Fix: 12 finite numbers")
    if p2[0, 0] <= 0 or p2[1, 1] <= 0:
        raise CalibrationError(
            f"{source}: the focal lengths P2[0,0]={p2[0, 0]:g} and P2[1,1]={p2[1, 1]:g} must be positive. Fix: the "
            "projection in pixels, x to the right, y down, z forward"
        )
    if not np.allclose(p2[2, :3], [0, 0, 1], atol=1e-3) or not math.isclose(p2[2, 3], 0, abs_tol=0.1):
        raise CalibrationError(
            f"{source}: the last row of P2 is {p2[2].tolist()}, of a rectified camera it is 0 0 1 and a few "
            "millimetres. Fix: divide P2 by P2[2,2], and rectify the pictures"
        )
    return KittiCalibration(p2)
