"""What is wrong with a folder in KITTI's format, found before a training: files, splits, labels that do not fit P2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mm_monodino_detr.cuboids import cuboid_corners
from mm_monodino_detr.datasets.kitti_calibration import KittiCalibration
from mm_monodino_detr.datasets.kitti_frames import (
    FrameContent,
    KittiDataError,
    KittiFrame,
    frames_of,
    picture_files,
    read_frame,
)
from mm_monodino_detr.evaluation.kitti_files import DONT_CARE, KITTI_CLASSES, KittiFileError, KittiObjects, read_split
from mmrepro.datasets.image_files import fault_of_file

_TEST = "test"  # the split whose frames lie in testing/ and have no labels
_NEAREST = 0.5  # metres; corners behind the camera have no projection
_FITS = 0.5  # least median IoU of 2D boxes and projected 3D boxes
_OUTSIDE = 2.0  # pixels that a 2D box may reach out of its picture
_ANGLE = 0.2  # radians that alpha may differ from what follows from rotation_y
_UNKNOWN_ALPHA = -10


@dataclass
class FolderReport:
    """What was found in a folder.

    Attributes:
        faults: why it cannot be used, a sentence each.
        warnings: what is likely a mistake, a sentence each.
        frames: number of frames by split.
        classes: number of labelled objects by class, of all frames.
        picture_sizes: number of frames by width and height.
        focal_lengths: number of frames by horizontal focal length in pixels, rounded to 0.1.
        fit: median IoU of 2D boxes and projected 3D boxes; None without labels.
    """

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    picture_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    focal_lengths: Counter[float] = field(default_factory=Counter)
    fit: float | None = None


def check_folder(
    root: str | Path, splits: Sequence[str] | None = None, classes: Collection[str] | None = KITTI_CLASSES
) -> FolderReport:
    """Look at every frame of a folder in KITTI's layout.

    Args:
        root: with ``training/{image_2,calib,label_2}``, and where they are ``testing/{image_2,calib}`` and
            ``ImageSets/*.txt``.
        splits: names of files of ``ImageSets``, with or without ``.txt``; by default all, or the whole of ``training``
            where there is none. The one named ``test`` is of ``testing``.
        classes: names that label files may hold; None for any.

    Raises:
        KittiDataError: there is no such folder, or none of pictures, calibrations or labels.
    """
    root = Path(root)
    if not root.is_dir():
        raise KittiDataError(f"{root}: there is no such folder. Fix: the one that holds training/ and ImageSets/")
    report = FolderReport()
    names_of = _splits(root, splits, report)
    report.frames = {split: len(names) for split, names in names_of.items()}
    _check_overlap(names_of, report)
    labelled = dict.fromkeys(name for split, names in names_of.items() if split != _TEST for name in names)
    overlaps: list[float] = []
    for part, names in (("training", list(labelled)), ("testing", names_of.get(_TEST, []))):
        if names:
            folder = root / part
            labels = folder / "label_2" if part == "training" else None
            for frame in frames_of(names, folder / "image_2", folder / "calib", labels):
                overlaps += _check_frame(frame, classes, report)
    _check_fit(overlaps, report)
    return report


def _splits(root: Path, splits: Sequence[str] | None, report: FolderReport) -> dict[str, list[str]]:
    folder = root / "ImageSets"
    if splits is None:
        splits = sorted(path.stem for path in folder.glob("*.txt"))
        # KITTI's development kit comes with lists, testing is a download of its own
        splits = [split for split in splits if split != _TEST or (root / "testing" / "image_2").is_dir()]
        if not splits:
            return {"training": [path.stem for path in picture_files(root / "training" / "image_2")]}
    names = [split.removesuffix(".txt") for split in splits]
    read = {split: _split(folder / f"{split}.txt", report) for split in names}
    return {split: names for split, names in read.items() if names}


def _split(path: Path, report: FolderReport) -> list[str]:
    try:
        return read_split(path)
    except KittiFileError as fault:
        report.faults.append(str(fault))
        return []


def _check_overlap(names_of: dict[str, list[str]], report: FolderReport) -> None:
    if common := sorted(set(names_of.get("train", [])) & set(names_of.get("val", []))):
        report.faults.append(
            f"ImageSets/train.txt and ImageSets/val.txt share {len(common)} frames, the first is {common[0]}. Fix: "
            "each frame in one of them, else the validation says nothing"
        )


def _check_frame(frame: KittiFrame, classes: Collection[str] | None, report: FolderReport) -> list[float]:
    """Add what is found in a frame; return the overlaps of its 2D boxes with its projected 3D boxes."""
    size = None
    if (fault := fault_of_file(frame.picture)) is not None:
        report.faults.append(f"{frame.picture} is {fault}. Fix: put the picture of frame {frame.name} there")
    else:
        with Image.open(frame.picture) as picture:
            size = picture.size
        report.picture_sizes[size] += 1
    content, faults = read_frame(frame, classes)
    report.faults += [fault.text for fault in faults]
    if content is None:
        return []
    report.focal_lengths[round(content.calibration.focal[0], 1)] += 1
    if size is not None:
        _check_size(frame, content, size, report)
    if content.objects is None:
        return []
    report.classes.update(content.objects.names.tolist())
    _check_ranges(frame, content.objects, report)
    _check_angles(frame, content.objects, report)
    return _overlaps(content.objects, content.calibration, size).tolist()


def _check_size(frame: KittiFrame, content: FrameContent, size: tuple[int, int], report: FolderReport) -> None:
    middle = content.calibration.principal_point
    if not all(0 <= place <= side for place, side in zip(middle, size, strict=True)):
        report.warnings.append(
            f"{frame.calibration}: the optical axis meets the picture at {middle[0]:.0f}, {middle[1]:.0f}, which is "
            f"outside its {size[0]} x {size[1]} pixels. Fix: P2 of the picture as it is, after any resize or crop"
        )
    if content.objects is None or not len(content.objects):
        return
    ends = content.objects.boxes[:, 2:] - size
    if (ends > _OUTSIDE).any() or (content.objects.boxes[:, :2] < -_OUTSIDE).any():
        report.warnings.append(
            f"{frame.labels}: 2D boxes reach out of the picture of {size[0]} x {size[1]} pixels. Fix: labels of the "
            "picture as it is, after any resize or crop; KITTI cuts boxes off at the edges"
        )


def _check_ranges(frame: KittiFrame, objects: KittiObjects, report: FolderReport) -> None:
    """Warn of objects that would be left out of training and evaluation without a word."""
    unknown = -1
    for values, right, what in (
        (objects.truncated, (objects.truncated >= 0) & (objects.truncated <= 1), "truncated, a share of 0 to 1"),
        (objects.occluded, np.isin(objects.occluded, (0, 1, 2, 3)), "occluded, one of 0, 1, 2 and 3"),
        (objects.locations[:, 2], objects.locations[:, 2] > 0, "z, the metres in front of the camera"),
    ):
        wrong = _real(objects) & ~right & ((values != unknown) | what.startswith("z"))
        if wrong.any():
            row = int(wrong.argmax())
            report.warnings.append(
                f"{frame.labels}, object {row + 1}: {values[row]:g} is not what it should be: {what}. Fix: the number, "
                "or the class DontCare"
            )


def _check_angles(frame: KittiFrame, objects: KittiObjects, report: FolderReport) -> None:
    known = _real(objects) & (objects.alphas != _UNKNOWN_ALPHA)
    rays = np.arctan2(objects.locations[:, 0], objects.locations[:, 2])
    apart = objects.rotations - rays - objects.alphas
    apart = np.abs((apart + np.pi) % (2 * np.pi) - np.pi)
    if (wrong := known & (apart > _ANGLE)).any():
        row = int(wrong.argmax())
        report.warnings.append(
            f"{frame.labels}, object {row + 1}: alpha {objects.alphas[row]:g} does not follow from rotation_y "
            f"{objects.rotations[row]:g} and the location. Fix: alpha = rotation_y - atan2(x, z), in radians"
        )


def _real(objects: KittiObjects) -> np.ndarray:
    return np.char.lower(objects.names) != DONT_CARE


def _overlaps(objects: KittiObjects, calibration: KittiCalibration, size: tuple[int, int] | None) -> np.ndarray:
    """Return the IoU of each object's 2D box with its projected 3D box; not of those that reach behind the camera."""
    kept = _real(objects) & (objects.locations[:, 2] - 0.5 * objects.sizes[:, 1:].sum(1) > _NEAREST)
    boxes, corners = objects.boxes[kept], cuboid_corners(objects.boxes_3d[kept])
    points = calibration.project(corners).reshape(-1, 8, 2)
    first, last = points.min(1), points.max(1)
    if size is not None:
        first, last = (np.clip(ends, 0, np.array(size) - 1.0) for ends in (first, last))
    shared = (np.minimum(last, boxes[:, 2:]) - np.maximum(first, boxes[:, :2])).clip(0).prod(1)
    areas = (last - first).prod(1) + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / np.maximum(areas - shared, 1e-9)


def _check_fit(overlaps: list[float], report: FolderReport) -> None:
    if not overlaps:
        return
    report.fit = float(np.median(overlaps))
    if report.fit < _FITS:
        report.warnings.append(
            f"3D boxes that are projected by P2 do not fall on the 2D boxes: their median IoU is {report.fit:.2f}. "
            "Fix: locations of the middle of the lower face in camera coordinates (x right, y down, z forward, "
            "metres), sizes as height, width, length, and P2 in pixels of these pictures"
        )
