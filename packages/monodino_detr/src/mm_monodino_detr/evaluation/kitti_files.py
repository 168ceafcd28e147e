"""KITTI's text files of objects: labels, results and splits.

A line is ``class truncated occluded alpha x1 y1 x2 y2 h w l x y z rotation_y`` and, in a result, ``score``: the 2D box
in pixels, the size and the middle of the 3D box's bottom face in metres in the camera's frame, angles in radians
(Geiger et al., CVPR 2012, development kit).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.engine.errors import UserError

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare")
DONT_CARE = "dontcare"
FIELDS = (
    *("truncated", "occluded", "alpha", "x1", "y1", "x2", "y2"),
    *("height", "width", "length", "x", "y", "z", "rotation_y"),
)
_NUMBERS = len(FIELDS)
_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".txt")  # of files, which names of frames do not have


class KittiFileError(UserError, ValueError):
    """A file of labels, results or a split cannot be used; the message names the file, the line and the fix."""


@dataclass(frozen=True)
class KittiObjects:
    """The objects of one frame, in the order of the file.

    Attributes:
        names: ``(N,)`` texts, the classes as they are written.
        values: ``(N, 14)`` float64, the columns of ``FIELDS``.
        scores: ``(N,)`` float64; None for labels.
    """

    names: np.ndarray
    values: np.ndarray
    scores: np.ndarray | None = None

    @classmethod
    def none(cls, scored: bool = False) -> KittiObjects:
        """Return a frame without objects."""
        return cls(np.empty(0, "<U1"), np.empty((0, _NUMBERS)), np.empty(0) if scored else None)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def truncated(self) -> np.ndarray:
        """Share of the object outside the picture ``(N,)``; -1 where it is not known."""
        return self.values[:, 0]

    @property
    def occluded(self) -> np.ndarray:
        """0 fully visible, 1 partly occluded, 2 largely occluded, 3 unknown ``(N,)``; -1 of DontCare."""
        return self.values[:, 1]

    @property
    def alphas(self) -> np.ndarray:
        """Observation angles in radians ``(N,)``; -10 where they are not known."""
        return self.values[:, 2]

    @property
    def boxes(self) -> np.ndarray:
        """2D boxes ``(N, 4)``: x1, y1, x2, y2 in pixels."""
        return self.values[:, 3:7]

    @property
    def sizes(self) -> np.ndarray:
        """Height, width and length ``(N, 3)`` in metres."""
        return self.values[:, 7:10]

    @property
    def locations(self) -> np.ndarray:
        """The middle of the bottom face ``(N, 3)`` in metres: x to the right, y down, z forward."""
        return self.values[:, 10:13]

    @property
    def rotations(self) -> np.ndarray:
        """Rotation about the camera's y axis ``(N,)`` in radians; 0 looks along x."""
        return self.values[:, 13]

    @property
    def boxes_3d(self) -> np.ndarray:
        """3D boxes ``(N, 7)``: height, width, length, x, y, z and rotation, in metres and radians."""
        return self.values[:, 7:14]


def parse_objects(
    text: str, source: str, scored: bool = False, classes: Collection[str] | None = KITTI_CLASSES
) -> KittiObjects:
    """Return the objects of a file's text; empty lines do not count.

    Args:
        text: of the file.
        source: its name in errors.
        scored: a result, with a score at the end of each line; a label's score is not looked at.
        classes: those that may occur, in whatever case; None for any.

    Raises:
        KittiFileError: a line has the wrong number of fields, a field is no finite number, or a class is not known;
            in labels also if a 2D box is inverted or a size is not positive (DontCare has none).
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    fields = _NUMBERS + 1 + scored
    for line, content in enumerate(text.splitlines(), 1):
        row = content.split()
        if not row:
            continue
        if len(row) != fields and (scored or len(row) != fields + 1):
            what = "a result has 16 (class, 14 numbers, score)" if scored else "a label has 15 (class, 14 numbers)"
            raise KittiFileError(
                f"{source}, line {line}: {len(row)} fields, {what}. Fix: 'class truncated occluded alpha x1 y1 x2 y2 "
                f"h w l x y z rotation_y{' score' if scored else ''}'"
            )
        rows.append(row[:fields])
        lines.append(line)
    if not rows:
        return KittiObjects.none(scored)
    numbers = _numbers(rows, lines, source)
    found = KittiObjects(
        np.array([row[0] for row in rows]), numbers[:, :_NUMBERS], numbers[:, _NUMBERS] if scored else None
    )
    if classes is not None:
        _check_classes(found, lines, source, classes)
    if not scored:
        _check_labels(found, lines, source)
    return found


def read_objects(
    path: str | Path, scored: bool = False, classes: Collection[str] | None = KITTI_CLASSES
) -> KittiObjects:
    """Read a label or, with ``scored``, a result file; an empty one is a frame without objects.

    Raises:
        KittiFileError: the file is missing or no text, or :func:`parse_objects` refuses it.
    """
    fix = "a file in KITTI's format, without a line where the frame has no object"
    return parse_objects(_text(Path(path), fix), str(path), scored, classes)


def read_split(path: str | Path) -> list[str]:
    """Return the frames of a split, one name per line (``ImageSets/val.txt``), in its order.

    Raises:
        KittiFileError: the file is missing, is empty, names a frame twice, or a line is no single name.
    """
    path = Path(path)
    frames: dict[str, int] = {}
    for line, content in enumerate(_text(path, "a list of frames, one name per line").splitlines(), 1):
        name = content.strip()
        if not name:
            continue
        if len(name.split()) > 1 or "/" in name or "\\" in name or Path(name).suffix.lower() in _SUFFIXES:
            raise KittiFileError(f"{path}, line {line}: {name[:60]!r} is no frame. Fix: one name like 000042 per line")
        if name in frames:
            raise KittiFileError(f"{path}, line {line}: {name} stands in line {frames[name]} too. Fix: leave one out")
        frames[name] = line
    if not frames:
        raise KittiFileError(f"{path} names no frame. Fix: one name like 000042 per line")
    return list(frames)


def result_text(found: Mapping[str, Any], class_names: Sequence[str], source: str = "detections") -> str:
    """Return the detections of a frame as the text of a result file, numbers with two decimals; empty without any.

    Args:
        found: N detections as tensors, of a dictionary or an ``InstanceData``: ``labels`` ``(N,)``, ``alphas`` ``(N,)``
            observation angles in radians, ``bboxes`` ``(N, 4)`` x1, y1, x2, y2 in pixels, ``bboxes_3d`` ``(N, 7)`` h,
            w, l, x, y, z, rotation_y in metres (the middle of the bottom face) and radians, and ``scores`` ``(N,)``.
        class_names: by label.
        source: named in errors.

    Raises:
        ValueError: a label has no name.
        KittiFileError: a number is not finite.
    """
    labels, *columns = (
        np.asarray(found[key].detach().cpu()) for key in ("labels", "alphas", "bboxes", "bboxes_3d", "scores")
    )
    if not len(labels):
        return ""
    if nameless := sorted({label for label in labels.tolist() if not 0 <= label < len(class_names)}):
        raise ValueError(
            f"{source}: the labels {nameless} have no name, as the classes are {', '.join(class_names)}. Fix: the same "
            f"classes in the data set and in the model, or known_classes={len(class_names)} of the bbox_head"
        )
    numbers = np.concatenate([column.astype(np.float64).reshape(len(labels), -1) for column in columns], 1)
    if (wrong := ~np.isfinite(numbers)).any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise KittiFileError(
            f"{source}: {(*FIELDS[2:], 'score')[column]} of detection {row + 1} is {numbers[row, column]}. Fix: "
            "weights of a training that did not diverge"
        )
    line = "%s 0.0 0" + " %.2f" * numbers.shape[1] + "\n"
    names = [class_names[label] for label in labels.tolist()]
    return "".join(line % (name, *row) for name, row in zip(names, numbers.tolist(), strict=True))


def write_results(texts: Mapping[str, str], folder: str | Path) -> None:
    """Write the text of each frame into ``<frame>.txt``, whole or not at all; the folder is made."""
    for frame, text in texts.items():
        write_atomically(text.encode(), Path(folder) / f"{frame}.txt")


def _text(path: Path, fix: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a mark at the beginning
    except OSError as fault:
        raise KittiFileError(f"{path} cannot be read ({fault.strerror}). Fix: {fix}") from fault
    except UnicodeDecodeError as fault:
        raise KittiFileError(f"{path} is no text file. Fix: {fix}") from fault


def _numbers(rows: list[list[str]], lines: list[int], source: str) -> np.ndarray:
    """Return all fields but the first as ``(N, 14 or 15)`` float64."""
    try:
        numbers = np.array([[float(field) for field in row[1:]] for row in rows])
        if np.isfinite(numbers).all():
            return numbers
    except ValueError:
        pass
    for line, row in zip(lines, rows, strict=True):  # only now, to say where it is
        for column, field in enumerate(row[1:]):
            try:
                finite = math.isfinite(float(field))
            except ValueError:
                finite = False
            if not finite:
                name = (*FIELDS, "score")[column]
                raise KittiFileError(f"{source}, line {line}: {name} is {field!r}. Fix: a finite number")
    raise AssertionError("unreachable: a field was refused before")


def _check_classes(found: KittiObjects, lines: list[int], source: str, classes: Collection[str]) -> None:
    known = {name.lower() for name in classes}
    names = ", ".join(dict.fromkeys(classes))  # one may stand in KITTI's list and in the data's own
    for line, name in zip(lines, found.names, strict=True):
        if name.lower() not in known:
            raise KittiFileError(
                f"{source}, line {line}: the class {str(name)!r} is not known. Fix: one of {names}, or name the data's "
                "own classes"
            )


def _check_labels(found: KittiObjects, lines: list[int], source: str) -> None:
    """Refuse inverted boxes and sizes that are not positive."""
    inverted = (found.boxes[:, 2:] < found.boxes[:, :2]).any(1)
    if inverted.any():
        row = int(inverted.argmax())
        raise KittiFileError(
            f"{source}, line {lines[row]}: the 2D box {found.boxes[row].tolist()} ends before it begins. Fix: x1 y1 "
            "x2 y2 with x1 <= x2 and y1 <= y2"
        )
    flat = (found.sizes <= 0).any(1) & (np.char.lower(found.names) != DONT_CARE)
    if flat.any():
        row = int(flat.argmax())
        raise KittiFileError(
            f"{source}, line {lines[row]}: the size {found.sizes[row].tolist()} of a {found.names[row]} is not "
            "positive. Fix: height, width and length in metres, or the class DontCare"
        )
