"""The weights that the evaluate tier tests: published ones, a user's copy of them, or none where nothing is learnt."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import configs, runs
from .faults import NotRunError
from .rows import Row

if TYPE_CHECKING:
    from .tiers import Settings

_WRITING = threading.Lock()


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

        from mmrepro.engine.atomic_backend import write_atomically

        with _WRITING:  # rows of one config may be measured side by side
            if not (folder / "no_parameters.pth").is_file():
                empty = io.BytesIO()
                torch.save({"state_dict": {}, "meta": {}}, empty)
                write_atomically(empty.getvalue(), folder / "no_parameters.pth")
        return folder / "no_parameters.pth"
    import pooch

    known_hash = f"sha256:{row.weights_sha256}" if row.weights_sha256 else None
    return Path(pooch.retrieve(found, known_hash, path=folder, progressbar=False))


@dataclass
class SharedTests:
    """The tests of one run of the tool: rows of one model that differ in the data set share a test of all sets."""

    results: dict[tuple[str, Path], Future] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def metrics(self, row: Row, checkpoint: Path, folder: Path, settings: Settings) -> tuple[dict[str, float], float]:
        """Return the evaluator's metrics of a row's config with a checkpoint, and the test's seconds; tests it once.

        Rows that ask while the test runs wait for it; tests of other models run beside it.

        Raises:
            RunFailedError: the test failed, now or for another row.
        """
        key = (row.config, checkpoint)
        with self.lock:
            is_first = key not in self.results
            result = self.results.setdefault(key, Future())
        if is_first:
            start = time.monotonic()
            try:
                metrics = runs.evaluate(
                    row.paper,
                    configs.path(row),
                    checkpoint,
                    folder,
                    data_root=settings.data_root,
                    threads=settings.threads,
                )
                result.set_result((metrics, time.monotonic() - start))
            except BaseException as fault:  # whatever it is, the others must not wait for ever
                result.set_exception(fault)
        return result.result()
