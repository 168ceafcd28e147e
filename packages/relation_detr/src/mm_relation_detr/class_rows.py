"""The rows of class weights: official detectors have one per raw category id, ours may have one per class.

Rows of ids that no category has are never positive in training. Without them a prediction's label is the class's place
in the data set's list, as everywhere in mmdet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmrepro.detection.class_space import COCO_IDS, UNUSED

_COCO_ROWS = 91
_CLASS_ROWS = re.compile(
    r"bbox_head\.(cls_branches\.\d+|hybrid_cls_branch)\.(weight|bias)|dn_query_generator\.label_embedding\.weight"
)


def used_ids(state: Mapping[str, Tensor], names: Sequence[str] | None, source: str = "the checkpoint") -> list[int]:
    """Return the raw category ids that have a class, in ascending order.

    Args:
        state: our state dict.
        names: the class names of the file, one per raw category id; None if it carries none.
        source: what an error calls the file.

    Raises:
        ValueError: the file does not say it, and has not the 91 rows of COCO; or its names are not as many as its rows.
    """
    rows = {tensor.shape[0] for key, tensor in state.items() if is_class_row(key)}
    if names is not None:
        if rows - {len(names)}:
            raise ValueError(
                f"{source} has {', '.join(map(str, sorted(rows)))} class rows and names {len(names)} classes in "
                "_classes_, so which rows are used is not known. Fix: convert without contiguous=True, or correct "
                "_classes_"
            )
        return [number for number, name in enumerate(names) if name != UNUSED]
    if rows != {_COCO_ROWS}:
        count = ", ".join(map(str, sorted(rows))) or "no"
        raise ValueError(
            f"{source} has {count} class rows and carries no class names, so which of them are used is not known: "
            "contiguous=True needs COCO's 91 rows or a file with _classes_. Fix: convert without it"
        )
    return list(COCO_IDS)


def is_class_row(key: str) -> bool:
    """Return whether one of our weights has a row for each class."""
    return _CLASS_ROWS.fullmatch(key) is not None


def keep_rows(state: Mapping[str, Tensor], ids: Sequence[int]) -> dict[str, Tensor]:
    """Return a state dict of ours whose class heads and label embedding have the rows of these ids alone."""
    index = torch.tensor(ids, dtype=torch.long, device="cpu")
    return {
        key: tensor.index_select(0, index.to(tensor.device)) if is_class_row(key) else tensor
        for key, tensor in state.items()
    }
