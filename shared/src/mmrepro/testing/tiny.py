"""Tiny versions of configs: the same model and pipeline, small enough for a test."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config


def tiny(config: Config) -> Config:
    """Return a copy of a config with its own ``tiny`` hints merged in.

    A config (or one of its bases) declares what makes it small, as nested dicts or dotted keys, for example
    ``tiny = {"model.d_model": 16, "train_dataloader.batch_size": 4}``.

    Raises:
        KeyError: the config declares no ``tiny``.
    """
    hints = config.get("tiny")
    if hints is None:
        raise KeyError(f"{config.filename or 'the config'} declares no `tiny = dict(...)`: add it to its base")
    small = copy.deepcopy(config)
    small.merge_from_dict(dict(small.tiny))  # the copy's: merging takes `_delete_` out of what it merges
    return small
