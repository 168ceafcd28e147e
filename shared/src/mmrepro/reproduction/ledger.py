"""The ledger of a package, ``reproductions.json``: what was measured, written by the tool only.

Entries are history: they are added and never changed. Which of them speak for a row is decided by ``current``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from mmrepro import papers

from . import environment

NAME = "reproductions.json"
LOCK_SECONDS = 30.0  # how long to wait for another process that writes; a write takes milliseconds
LAST = "last"  # in an entry's details: metrics of the last checkpoint, where the best was chosen on what is tested
EVERY_ROW = "*"  # the row of an entry that speaks for the whole paper: its parity cases


@dataclass(frozen=True)
class Entry:
    """One measurement.

    ``config`` is the digest of the config that was run, ``commit`` the checked-out commit (the parent of the one that
    brings the entry), ``clean`` whether nothing but our ledgers differed from it.
    """

    row: str
    tier: str
    metrics: dict[str, float]
    config: str
    seed: int | None = None
    details: dict = field(default_factory=dict)
    commit: str = ""
    clean: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    hardware: str = ""
    threads: int = 0
    seconds: float = 0.0
    date: str = ""


def entry(
    paper: str,
    row: str,
    tier: str,
    metrics: dict[str, float],
    *,
    config: str,
    seconds: float,
    seed: int | None = None,
    details: dict | None = None,
    threads: int | None = None,
) -> Entry:
    """Return an entry that says where and when it was measured: here and now."""
    commit, clean = environment.commit(papers.root(paper))
    return Entry(
        row=row,
        tier=tier,
        metrics=metrics,
        config=config,
        seed=seed,
        details=details or {},
        commit=commit,
        clean=clean,
        versions=environment.versions(paper),
        hardware=environment.hardware(),
        threads=threads or environment.threads(),
        seconds=round(seconds, 1),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def path(paper: str, work_dir: Path | None = None) -> Path:
    """Return where a paper's ledger lies: in its checkout, or below ``work_dir`` for an installed wheel."""
    checkout = papers.checkout(paper)
    return checkout / NAME if checkout else (work_dir or Path("work_dirs")) / paper / NAME


def load(file: Path) -> list[Entry]:
    """Return all entries of a ledger, oldest first; none if the file does not exist.

    Raises:
        ValueError: the file is not a ledger.
    """
    if not file.is_file():
        return []
    try:
        return [Entry(**item) for item in json.loads(file.read_text(encoding="utf-8"))]
    except (TypeError, json.JSONDecodeError) as fault:
        raise ValueError(f"{file} is not a ledger that this version wrote: {fault}") from fault


def append(file: Path, new: Entry) -> None:
    """Add one entry; the file is replaced whole, so an interrupted write leaves the old one.

    Processes that write at the same time wait for each other.

    Raises:
        TimeoutError: another process holds the ledger, or was killed while it did.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file):
        entries = [*load(file), new]
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps([asdict(item) for item in entries], indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, file)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a file's lock: a hidden file beside it, which only one process can create."""
    lock = file.with_name(f".{file.name}.lock")
    give_up = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.touch(exist_ok=False)
            break
        except FileExistsError:
            if time.monotonic() > give_up:
                raise TimeoutError(
                    f"{lock} has been there for {LOCK_SECONDS:g} s: another process writes the ledger, or was killed "
                    "while it did. Fix: if no other `mmrepro reproduce` is running, delete this file"
                ) from None
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink()


def current(entries: list[Entry], row: str, tier: str) -> list[Entry]:
    """Return the entries that speak for a row: those of the newest entry's config, the newest one of each seed."""
    mine = [item for item in entries if item.row == row and item.tier == tier]
    if not mine:
        return []
    by_seed = {item.seed: item for item in mine if item.config == mine[-1].config}
    return list(by_seed.values())


def known(entries: list[Entry], row: str, tier: str, config: str, seed: int | None) -> bool:
    """Whether this config was measured with this seed already."""
    return any((e.row, e.tier, e.config, e.seed) == (row, tier, config, seed) for e in entries)
