"""The weights that the evaluate tier tests: published ones, a user's copy of them, or none where nothing is learnt."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import configs, runs
from .faults import NotRunError
from .rows import Row

if TYPE_CHECKING:
    from .tiers import Settings


def find(row: Row, folder: Path | None) -> Path | str | None:
    """Return where a row's official weights are: a file, a URL, or None for a model without parameters.

    Args:
        row: the row.
        folder: a user's folder of official checkpoints under their official names; it goes before a download.

    Raises:
        NotRunError: they are nowhere; the message says how to get them.
    """
    if row.parameters == 0:
        return None
    if folder is not None and row.official_file and (folder / row.official_file).is_file():
        return folder / row.official_file
    if row.weights:
        return row.weights
    if not row.official_file:
        raise NotRunError("an official checkpoint: none is published")
    if folder is not None:
        raise NotRunError(f"the official checkpoint {row.official_file}, which {folder} does not hold")
    raise NotRunError(
        f"the official checkpoint {row.official_file}, which no command can fetch: get it by browser and name its "
        "folder with --weights"
    )


def fetch(found: Path | str | None, row: Row, folder: Path) -> Path:
    """Return the file of what :func:`find` has found.

    Args:
        found: a file, which is taken as it is; a URL; or None, for a checkpoint that holds nothing, because
            ``tools/test.py`` wants a file.
        row: the row, with the download's checksum.
        folder: where a download goes.
    """
    if isinstance(found, Path):
        return found
    if found is None:
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": {}, "meta": {}}, folder / "no_parameters.pth")
        return folder / "no_parameters.pth"
    import pooch

    known_hash = f"sha256:{row.weights_sha256}" if row.weights_sha256 else None
    return Path(pooch.retrieve(found, known_hash, path=folder, progressbar=False))


@dataclass
class SharedTests:
    """The tests of one run of the tool: rows of one model that differ in the data set share a test of all sets."""

    results: dict[tuple[str, Path], dict[str, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def metrics(self, row: Row, checkpoint: Path, folder: Path, settings: Settings) -> dict[str, float]:
        """Return the evaluator's metrics of a row's config with a checkpoint; tests it once.

        Raises:
            RunFailedError: the test failed.
        """
        with self.lock:
            key = (row.config, checkpoint)
            if key not in self.results:
                self.results[key] = runs.evaluate(
                    row.paper,
                    configs.path(row),
                    checkpoint,
                    folder,
                    data_root=settings.data_root,
                    threads=settings.threads,
                )
            return self.results[key]
