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


def digest(row: Row) -> str:
    """Return 12 hex digits that change when a setting of the row's config or of a base does; comments do not count."""
    settings = {key: value for key, value in load(row).to_dict().items() if key not in _NOT_MEASURED}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode()).hexdigest()[:12]
