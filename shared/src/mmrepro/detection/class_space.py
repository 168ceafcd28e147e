"""Which label stands for which category: the raw category ids of the official detectors, or 0, 1, 2, ... as in mmdet.

Official detectors of DETR's family use the category id of the annotations as the label: 91 class scores for COCO, of
which 80 can be positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmdet.datasets import CocoDataset

Labels = Literal["raw", "contiguous"]
UNUSED = "none"
COCO_IDS = tuple(number for number in range(1, 91) if number not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
_MOST_ROWS = 20_000  # of class scores; far more than any data set has, far fewer than hashes used as ids would make


@dataclass(frozen=True)
class ClassSpace:
    """The labels of a detector.

    Attributes:
        names: the class name of every label, ``none`` for a label that no category has; as many as there are class
            scores.
        label_of: the label of every category id in use.
    """

    names: tuple[str, ...]
    label_of: Mapping[int, int]

    @property
    def category_of(self) -> dict[int, int]:
        """The category id of every label in use."""
        return {label: category for category, label in self.label_of.items()}


def class_space(
    categories: Sequence[Mapping],
    labels: Labels = "raw",
    classes: Sequence[str] | None = None,
    source: str = "the file",
) -> ClassSpace:
    """Return the labels of a list of COCO categories.

    Args:
        categories: ``dict(id=..., name=...)`` of each, as in an annotation file.
        labels: ``raw`` makes the category id the label; ``contiguous`` counts from 0, in the order of ``classes`` or
            else of the ids.
        classes: the names in use; all if None. ``none`` in it is skipped, so that the names of a detector with raw ids
            may be given.
        source: what an error calls the list.

    Raises:
        ValueError: ``labels`` is neither, a category is called ``none``, raw ids are too large for labels, or
            ``classes`` has a name twice or one that no category has.
    """
    if labels not in ("raw", "contiguous"):
        raise ValueError(f"labels is 'raw' or 'contiguous', got {labels!r}")
    id_of = {category["name"]: category["id"] for category in sorted(categories, key=lambda one: one["id"])}
    if UNUSED in id_of:
        raise ValueError(
            f"{source} calls category {id_of[UNUSED]} {UNUSED!r}, which here means an id without a category. "
            "Fix: rename it in the file"
        )
    used = [name for name in (id_of if classes is None else classes) if name != UNUSED]
    missing = [name for name in used if name not in id_of]
    if missing:
        raise ValueError(
            f"{source} has no category {', '.join(map(repr, missing[:5]))}: its categories are "
            f"{', '.join(map(repr, list(id_of)[:10]))}{', ...' if len(id_of) > 10 else ''}. "
            "Fix: metainfo=dict(classes=(...)) with these names, or leave it out to take them all"
        )
    if len(set(used)) < len(used):
        twice = sorted({name for name in used if used.count(name) > 1})
        raise ValueError(f"classes has {', '.join(map(repr, twice[:5]))} twice. Fix: name every class once")
    if labels == "contiguous":
        return ClassSpace(tuple(used), {id_of[name]: label for label, name in enumerate(used)})
    name_of = {id_of[name]: name for name in used}
    rows = max(id_of.values(), default=-1) + 1
    if rows > _MOST_ROWS:
        raise ValueError(
            f"{source} has category ids up to {rows - 1}, and as many class scores would be needed for raw labels. "
            "Fix: labels='contiguous'"
        )
    return ClassSpace(tuple(name_of.get(row, UNUSED) for row in range(rows)), {row: row for row in sorted(name_of)})


def coco_names(outputs: int) -> tuple[str, ...] | None:
    """Return COCO's names for 91 scores (by raw category id, ``none`` where there is no category) or 80, else None."""
    names = CocoDataset.METAINFO["classes"]
    if outputs == len(names):
        return names
    of_id = dict(zip(COCO_IDS, names, strict=True))
    return tuple(of_id.get(number, UNUSED) for number in range(outputs)) if outputs == max(COCO_IDS) + 1 else None
