"""The rows of class weights: official detectors have one per raw category id of COCO, ours may have one per class.

Rows of ids that no category has are never positive in training. Without them a prediction's label is the class's place
in the data set's list, as everywhere in mmdet. Two heads have a row that is no class: the first of token labels says
whether there is any object (with raw ids it is the row of id 0, which no category has), and the last of the neck-free
head stands for the background.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.detection.class_space import COCO_IDS

RAW_ROWS = max(COCO_IDS) + 1  # of class scores by COCO's category ids
_CLASSES = re.compile(r"bbox_head\.cls_branches\.\d+\.(weight|bias)")
_TOKENS = re.compile(r"bbox_head\.token_embed\.(weight|bias)")
_WITH_BACKGROUND = re.compile(r"bbox_head\.cls_branch\.4\.(weight|bias)")
_NEVER = -100.0  # a logit that no score comes from


def is_class_row(key: str) -> bool:
    """Return whether one of our weights has a row for each class."""
    return any(kind.fullmatch(key) for kind in (_CLASSES, _TOKENS, _WITH_BACKGROUND))


def has_raw_rows(state: Mapping[str, Tensor]) -> bool:
    """Return whether the class scores of a state dict of ours are as many as COCO has raw category ids."""
    rows = {_CLASSES: RAW_ROWS, _WITH_BACKGROUND: RAW_ROWS + 1}
    found = [
        tensor.shape[:1] == (count,)
        for kind, count in rows.items()
        for key, tensor in state.items()
        if kind.fullmatch(key)
    ]
    return bool(found) and all(found)


def to_contiguous(state: Mapping[str, Tensor], source: str = "the checkpoint") -> dict[str, Tensor]:
    """Return a state dict of ours with rows for COCO's 80 classes alone, instead of one for each raw category id.

    Raises:
        CheckpointMismatchError: some weights have not the rows of COCO's ids.
    """
    _require_rows(state, RAW_ROWS, RAW_ROWS, "contiguous=True takes COCO's 80 classes out of 91 rows", source)
    return {key: tensor[_ids_of(key, tensor)] if is_class_row(key) else tensor for key, tensor in state.items()}


def to_raw(state: Mapping[str, Tensor], source: str = "the checkpoint") -> dict[str, Tensor]:
    """Return a state dict of ours with a row for each raw category id of COCO, instead of rows for its 80 classes.

    Rows of ids without a category get weights of 0 and a bias of -100, so that they are never predicted.

    Raises:
        CheckpointMismatchError: some weights have not the rows of 80 classes.
    """
    classes = len(COCO_IDS)
    _require_rows(state, classes, classes + 1, "contiguous=True is for detectors of COCO's 80 classes", source)
    result = dict(state)
    for key, tensor in state.items():
        if is_class_row(key):
            rows = RAW_ROWS + (_WITH_BACKGROUND.fullmatch(key) is not None)
            result[key] = tensor.new_full((rows, *tensor.shape[1:]), _NEVER if key.endswith("bias") else 0.0)
            result[key][_ids_of(key, tensor)] = tensor
    return result


def _ids_of(key: str, tensor: Tensor) -> Tensor:
    """Return the rows that are kept, or where rows come from."""
    ids = list(COCO_IDS)
    if _TOKENS.fullmatch(key):
        ids = [0, *ids]
    if _WITH_BACKGROUND.fullmatch(key):
        ids = [*ids, RAW_ROWS]
    return torch.tensor(ids, device=tensor.device)


def _require_rows(state: Mapping[str, Tensor], classes: int, token_rows: int, why: str, source: str) -> None:
    rows = {_CLASSES: classes, _TOKENS: token_rows, _WITH_BACKGROUND: classes + 1}
    lines = [
        f"{key}: {tensor.shape[0]} rows, not {wanted}"
        for kind, wanted in rows.items()
        for key, tensor in state.items()
        if kind.fullmatch(key) and tensor.shape[:1] != (wanted,)
    ]
    if lines:
        raise CheckpointMismatchError(source, {f"{why}, so leave it out": lines})
