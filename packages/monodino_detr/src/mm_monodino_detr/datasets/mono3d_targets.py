"""What the network is trained to say of labelled objects: boxes, depths, sizes and headings of the network's input."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mm_monodino_detr.datasets.flip_crop_affine import mapped
from mm_monodino_detr.datasets.kitti_calibration import KittiCalibration
from mm_monodino_detr.models.heading_bins import encode_heading


@dataclass(frozen=True)
class LabelledObjects:
    """Labelled objects of a picture as they stand in KITTI's file, whatever happened to the picture since.

    Attributes:
        rows: which objects of the label file they are ``(T,)``, from 0.
        labels: classes ``(T,)`` int64.
        boxes: left, top, right and bottom ``(T, 4)`` in pixels of the original picture.
        sizes: height, width and length ``(T, 3)`` in metres.
        locations: middle of the lower face ``(T, 3)`` in camera coordinates in metres: right, down, forward.
        rotations: rotation about the vertical axis ``(T,)`` in radians.
    """

    rows: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray
    locations: np.ndarray
    rotations: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: np.ndarray) -> LabelledObjects:
        return LabelledObjects(*(getattr(self, field.name)[chosen] for field in fields(self)))


def mono3d_targets(
    objects: LabelledObjects,
    calibration: KittiCalibration,
    affine: np.ndarray,
    size: tuple[int, int],
    width: int,
    flip: bool = False,
    crop_scale: float = 1.0,
) -> tuple[dict[str, np.ndarray], LabelledObjects]:
    """Return the targets and the objects that they are of: those whose centre is in view and inside their 2D box.

    Boxes are relative to the network's input. The calibration is never changed: a flip mirrors boxes, centres and
    headings, and a crop multiplies depths by its scale.

    Args:
        objects: of the picture.
        calibration: of the original picture.
        affine: map ``(2, 3)`` from the picture, after the flip, to the network's input.
        size: width and height of the network's input.
        width: of the original picture.
        flip: whether the picture was flipped.
        crop_scale: width of the window that was taken, relative to the picture's.

    Returns:
        ``labels`` ``(T,)`` int64; ``boxes`` ``(T, 4)``, centre and size of the 2D box; ``boxes_3d`` ``(T, 6)``, the
        projected centre of the 3D box and the distances from it to the left, right, top and bottom of the 2D box;
        ``depth`` ``(T,)`` in metres; ``size_3d`` ``(T, 3)``, height, width and length in metres; ``heading_bin``
        ``(T,)`` int64 and ``heading_res`` ``(T,)`` in radians. All others are float32.
    """
    boxes, rotations = objects.boxes.astype(np.float64), objects.rotations.astype(np.float64)
    locations = objects.locations.astype(np.float64)
    middles = locations - objects.sizes[:, :1] * np.array([0, 0.5, 0])  # KITTI's y is that of the lower face
    centres = calibration.project(middles)
    if flip:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        centres[:, 0] = width - centres[:, 0]
        rotations = wrapped(np.pi - rotations)
    headings = wrapped(rotations - calibration.viewing_angle((boxes[:, 0] + boxes[:, 2]) / 2))
    centres = mapped(affine, centres) / size
    corners = mapped(affine, boxes.reshape(-1, 2, 2)) / size
    before, after = centres - corners[:, 0], corners[:, 1] - centres
    kept = ((centres >= 0) & (centres < 1) & (before >= 0) & (after >= 0)).all(1)
    sides = np.stack([before[:, 0], after[:, 0], before[:, 1], after[:, 1]], axis=1)
    bins, residuals = encode_heading(headings)
    found = dict(
        labels=objects.labels.astype(np.int64),
        boxes=np.concatenate([corners.mean(1), corners[:, 1] - corners[:, 0]], axis=1).astype(np.float32),
        boxes_3d=np.concatenate([centres, sides], axis=1).astype(np.float32),
        depth=(locations[:, 2] * crop_scale).astype(np.float32),
        size_3d=objects.sizes.astype(np.float32),
        heading_bin=np.asarray(bins, np.int64),
        heading_res=np.asarray(residuals, np.float32),
    )
    return {name: values[kept] for name, values in found.items()}, objects[kept]


def wrapped(angles: np.ndarray) -> np.ndarray:
    """Return angles in radians after one turn at most towards [-pi, pi], as the official code does it."""
    angles = np.where(angles > np.pi, angles - 2 * np.pi, angles)
    return np.where(angles < -np.pi, angles + 2 * np.pi, angles)
