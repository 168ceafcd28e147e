"""Tiny versions of configs: the same model and pipeline, small enough for a test."""

from __future__ import annotations

import copy
import operator
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

REMOVED = "_removed_"


def tiny(config: Config) -> Config:
    """Return a copy of a config with its own ``tiny`` hints merged in.

    A config (or one of its bases) declares what makes it small, as nested dicts or dotted keys, for example
    ``tiny = {"model.d_model": 16, "train_dataloader.batch_size": 4}``. A dotted key with the value ``"_removed_"``
    takes a setting out, where there is one.

    Raises:
        KeyError: the config declares no ``tiny``.
    """
    hints = config.get("tiny")
    if hints is None:
        raise KeyError(f"{config.filename or 'the config'} declares no `tiny = dict(...)`: add it to its base")
    small = copy.deepcopy(config)
    hints = dict(small.tiny)  # the copy's: merging takes `_delete_` out of what it merges
    small.merge_from_dict({key: hint for key, hint in hints.items() if hint != REMOVED})
    for key in (key for key, hint in hints.items() if hint == REMOVED):
        *parents, last = key.split(".")
        reduce(operator.getitem, parents, small).pop(last, None)
    return small
