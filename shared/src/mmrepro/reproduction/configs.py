"""A row's config: loaded without running a model, and its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mmrepro import papers

from .rows import Row

if TYPE_CHECKING:
    from mmengine.config import Config

# How a sample is read does not make it another sample.
_READING = ("pipeline", "test_mode")
# They change nothing that is measured.
_NOT_MEASURED = ("work_dir", "tiny", "launcher")


def path(row: Row) -> Path:
    """Return the file of a row's config."""
    return papers.root(row.paper) / row.config


def load(row: Row) -> Config:
    """Return a row's config with its bases merged; modules that it names are not imported."""
    from mmengine.config import Config

    return Config.fromfile(path(row), import_custom_modules=False)


def has_test(row: Row) -> bool:
    """Return whether a row's config names what is tested."""
    return load(row).get("test_dataloader") is not None


def chosen_on_test(row: Row) -> bool:
    """Return whether the data on which a row's training chooses its best checkpoint are among those it is tested on."""
    config = load(row)
    if not config.get("val_dataloader") or not config.get("test_dataloader"):
        return False
    val, test = (
        {key: value for key, value in config[f"{name}_dataloader"]["dataset"].items() if key not in _READING}
        for name in ("val", "test")
    )
    return val.keys() == test.keys() and all(_among(value, test[key]) for key, value in val.items())


def _among(some: object, others: object) -> bool:
    """Return whether two settings are equal, or lists of which the first holds some of the second's entries."""
    if isinstance(some, (list, tuple)) and isinstance(others, (list, tuple)):
        return all(one in others for one in some)
    return some == others


def digest(row: Row) -> str:
    """Return 12 hex digits that change when a setting of the row's config or of a base does; comments do not count."""
    settings = {key: value for key, value in load(row).to_dict().items() if key not in _NOT_MEASURED}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode()).hexdigest()[:12]
