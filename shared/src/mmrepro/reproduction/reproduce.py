"""Reproducing a paper: its rows through the tiers, into the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from mmrepro import papers

from . import ledger
from .rows import Row, rows
from .tiers import TIERS, Outcome, Settings, attempt


def reproduce(
    paper: str,
    settings: Settings,
    *,
    pattern: str | None = None,
    tiers: Iterable[str] = TIERS,
    seeds: tuple[int, ...] | None = None,
    jobs: int = 1,
    say: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Measure a paper's rows and add what was measured to its ledger.

    Trainings and evaluations that the ledger holds for the same config (and seed) are not repeated; model sizes and
    parity cases always are, and get a new entry when anything about them changed. Rows without a number of their own
    are evaluated and trained only where a pattern names them.

    Args:
        paper: an installed paper.
        settings: work directory, data root, threads, whether to measure again.
        pattern: which rows; all by default.
        tiers: which tiers, in any order.
        seeds: seeds to train with instead of each row's own.
        jobs: trainings side by side, each in its own process with its share of the cores.
        say: called with each outcome as soon as it is known.

    Raises:
        ValueError: the work directory lies inside the package, where mim would find its dumped configs.
    """
    paper = papers.canonical(paper)
    _check_work_dir(paper, settings.work_dir)
    selected = rows(paper, pattern)
    if jobs > 1 and settings.threads is None:
        settings = replace(settings, threads=max(1, (os.cpu_count() or 1) // jobs))
    file = ledger.path(paper, settings.work_dir)

    outcomes = []

    def keep(outcome: Outcome) -> None:
        if outcome.state == "not run" and outcome in outcomes:
            return  # every seed of a row lacks the same
        if outcome.entry and _is_new(outcome.entry, ledger.load(file)):
            ledger.append(file, outcome.entry)
        outcomes.append(outcome)
        say(outcome)

    for row in selected if "complexity" in tiers else ():
        keep(attempt(row, "complexity", settings))
    if "parity" in tiers and selected:
        keep(attempt(selected[0], "parity", settings))
    planned = []
    measured = [row for row in selected if row.metrics or pattern]
    for tier in (tier for tier in ("evaluate", "train") if tier in tiers):
        if len(measured) < len(selected):
            left = len(selected) - len(measured)
            words = f"{left} rows without a number of their own are left out: name them to {tier} them (--rows)"
            keep(Outcome(ledger.EVERY_ROW, tier, "not run", words))
        planned += [(row, tier, seed) for row in measured for seed in _seeds(row, tier, seeds)]
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(attempt, row, tier, settings, seed) for row, tier, seed in planned]
        try:
            for future in as_completed(futures):
                keep(future.result())
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outcomes


def _seeds(row: Row, tier: str, seeds: tuple[int, ...] | None) -> tuple[int | None, ...]:
    return (seeds or row.seeds) if tier == "train" else (None,)


def _is_new(entry: ledger.Entry, entries: list[ledger.Entry]) -> bool:
    if entry.tier in ("evaluate", "train"):
        return True
    newest = ledger.current(entries, entry.row, entry.tier)
    # A size that is the same at another commit is no news, and a paper may have hundreds of them.
    facts = ["metrics", "details", "config", "clean"] + (["commit"] if entry.tier == "parity" else [])
    return not newest or any(getattr(newest[-1], fact) != getattr(entry, fact) for fact in facts)


def _check_work_dir(paper: str, work_dir: Path) -> None:
    root = papers.root(paper).resolve()
    if work_dir.resolve().is_relative_to(root):
        raise ValueError(
            f"{work_dir} lies inside {root}, where mim would find the dumped configs: choose another folder"
        )
