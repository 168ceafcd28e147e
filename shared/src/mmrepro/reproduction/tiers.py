"""The four tiers: what each claims, what it needs, and how one row is measured in it."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from mmrepro import papers
from mmrepro.datasets import registry

from . import complexity, configs, environment, ledger, official_weights, parity, runs
from .faults import FAULTS, NotRunError
from .ledger import Entry
from .official_weights import SharedTests
from .rows import Row, rows
from .verdicts import CHOSEN, format_number, judge

CLAIMS = {
    "complexity": "parameters equal the official key list exactly; operations lie within 3 % of the reported ones",
    "parity": "same weights and inputs give the official code's outputs, losses and gradients",
    "evaluate": "the official checkpoint gives the reported metric",
    "train": "our training gives the reported metric",
}
TIERS = tuple(CLAIMS)


@dataclass(frozen=True)
class Settings:
    """How rows are measured: where, with which data, on how many threads each."""

    work_dir: Path
    data_root: Path | None = None
    threads: int | None = None
    download: bool = False
    force: bool = False  # train and evaluate again what the ledger holds, from the start
    weights: Path | None = None  # a folder of official checkpoints, for those that no command can fetch
    tests: SharedTests = field(default_factory=SharedTests, compare=False, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt: ``state`` is ``measured``, ``known``, ``failed`` or ``not run``."""

    row: str
    tier: str
    state: str
    text: str
    seed: int | None = None
    entry: Entry | None = None


def attempt(row: Row, tier: str, settings: Settings, seed: int | None = None) -> Outcome:
    """Measure one row in one tier; a fault becomes the outcome's text instead of an exception."""
    name = ledger.EVERY_ROW if tier == "parity" else row.name
    try:
        if _is_known(row, tier, settings, seed):
            return Outcome(name, tier, "known", "in the ledger already", seed)
        entry = _MEASURE[tier](row, settings, seed)
        return Outcome(name, tier, "measured", _measured_text(row, tier, entry), seed, entry)
    except NotRunError as reason:
        return Outcome(name, tier, "not run", f"not run: needs {reason}")
    except FAULTS as fault:
        words = str(fault) if isinstance(fault, runs.RunFailedError) else f"{type(fault).__name__}: {fault}"
        return Outcome(name, tier, "failed", f"failed: {' '.join(words.split())}", seed)


def _measured_text(row: Row, tier: str, entry: Entry) -> str:
    """Return what an entry alone says, for example ``MSE 0.385 (reproduced), MAE 0.404 (reproduced), 95 s``."""
    verdict = judge(row, tier, [entry])
    one_by_one = [
        f"{one.metric.name} {format_number(one.mean, one.metric)} ({one.verdict})" for one in verdict.measured
    ]
    if any(one.unclean for one in verdict.measured):
        one_by_one.append("unclean tree")
    if any(one.last for one in verdict.measured):
        one_by_one.append(CHOSEN)
    if not row.metrics and tier in ("evaluate", "train"):
        one_by_one = [f"{name} {value:.4g}" for name, value in entry.metrics.items()]
    words = one_by_one or [f"{verdict.text or 'nothing to compare with'}: {verdict.detail}"]
    return ", ".join([*words, f"{entry.seconds:.0f} s"])


def run_folder(row: Row, seed: int, work_dir: Path, digest: str) -> Path:
    """Return the folder of one training; another config or commit gets another, so nothing foreign is resumed."""
    commit, _ = environment.commit(papers.root(row.paper))
    return work_dir / row.paper / row.name / "-".join(filter(None, (f"seed{seed}", digest, commit[:8])))


def _is_known(row: Row, tier: str, settings: Settings, seed: int | None) -> bool:
    if settings.force or tier not in ("evaluate", "train"):
        return False
    entries = ledger.load(ledger.path(row.paper, settings.work_dir))
    return ledger.known(entries, row.name, tier, configs.digest(row), seed)


def _complexity(row: Row, settings: Settings, _seed: int | None) -> Entry:
    start = time.monotonic()
    metrics, details = complexity.measure(row)
    return ledger.entry(
        row.paper,
        row.name,
        "complexity",
        metrics,
        config=configs.digest(row),
        details=details,
        seconds=time.monotonic() - start,
    )


def _parity(row: Row, settings: Settings, _seed: int | None) -> Entry:
    checkout = papers.checkout(row.paper)
    if checkout is None:
        raise NotRunError("a checkout of the repository: wheels hold no parity cases")
    start = time.monotonic()
    metrics, details = parity.summarize(parity.run_cases(checkout))
    seconds = time.monotonic() - start
    return ledger.entry(row.paper, ledger.EVERY_ROW, "parity", metrics, config="", details=details, seconds=seconds)


def _evaluate(row: Row, settings: Settings, _seed: int | None) -> Entry:
    _require_test(row)
    found = official_weights.find(row, settings.weights)
    _require_data(row, settings)
    folder = settings.work_dir / row.paper / Path(row.config).stem / "evaluate"
    checkpoint = official_weights.fetch(found, row, folder)
    folder /= checkpoint.stem  # a config may be tested with several weights at a time
    metrics, seconds = settings.tests.metrics(row, checkpoint, folder, settings)
    _require_measured(row, metrics, folder)
    name = found.name if isinstance(found, Path) else found
    weights = {"weights": name, "sha256": registry.digest(checkpoint)} if name else {}
    return ledger.entry(
        row.paper,
        row.name,
        "evaluate",
        metrics,
        config=configs.digest(row),
        details={**weights, **_shared_test(row), **_unverified_data(row, settings)},
        seconds=seconds,
        threads=settings.threads,
    )


def _train(row: Row, settings: Settings, seed: int | None) -> Entry:
    _require_test(row)
    _require_data(row, settings)
    _require_device(row)
    start = time.monotonic()
    digest = configs.digest(row)
    folder = run_folder(row, seed, settings.work_dir, digest)
    if settings.force and folder.is_dir():
        shutil.rmtree(folder)
    options = {"data_root": settings.data_root, "threads": settings.threads}
    best = runs.train(row.paper, configs.path(row), folder, seed=seed, **options)
    metrics = runs.evaluate(row.paper, configs.path(row), best, folder, **options)
    details: dict = {"checkpoint": best.name, **_unverified_data(row, settings)}
    if configs.chosen_on_test(row):  # the last checkpoint is one that nobody chose
        last = runs.last_checkpoint(folder)
        details[ledger.LAST] = runs.evaluate(row.paper, configs.path(row), last, folder / "last", **options)
    return ledger.entry(
        row.paper,
        row.name,
        "train",
        metrics,
        config=digest,
        seed=seed,
        details=details,
        seconds=time.monotonic() - start,
        threads=settings.threads,
    )


def _require_data(row: Row, settings: Settings) -> None:
    missing = [name for name in row.data if registry.status(name, settings.data_root).state == "missing"]
    for name in list(missing) if settings.download else ():
        try:
            registry.download(name, settings.data_root)
        except registry.DataNotFoundError:
            continue  # one that no command fetches is said with the others
        missing.remove(name)
    if missing:
        missing.sort(key=lambda name: not registry.get(name).what)  # weights first
        needs = " and ".join(f"{registry.get(name).what or 'the data set'} {name}" for name in missing)
        commands = " and ".join(f"`mmrepro data get {name}`" for name in missing)
        raise NotRunError(
            f"{needs} ({commands} {'fetches it or says' if len(missing) == 1 else 'fetch them or say'} how)"
        )
    for name in row.data:
        registry.locate(name, settings.data_root)


def _require_test(row: Row) -> None:
    if not configs.has_test(row):
        raise NotRunError(f"a test set: {row.config} has none, so there is nothing to measure")


def _shared_test(row: Row) -> dict[str, list[str]]:
    """Return the other rows whose sets the row's test holds, since the entry's seconds are of all of them."""
    model = (row.config, row.weights, row.official_file)
    others = [
        other.name
        for other in rows(row.paper)
        if other.name != row.name and (other.config, other.weights, other.official_file) == model
    ]
    return {"shared_test": others} if others else {}


def _require_measured(row: Row, metrics: dict[str, float], folder: Path) -> None:
    """Raise where a test of several sets, whose keys begin with the set's name, has left the row's out."""
    for metric in row.metrics:
        name, slash, _ = metric.key.rpartition("/")
        if slash and not any(key.startswith(name + slash) for key in metrics):
            raise NotRunError(f"{row.dataset}, which the test did not find, log at {folder / 'test.log'}")


def _unverified_data(row: Row, settings: Settings) -> dict[str, list[str]]:
    """Return what the ledger says of data sets that have no published checksum, and nothing where there are none."""
    names = [name for name in row.data if registry.status(name, settings.data_root).state == "unverified"]
    return {"unverified_data": names} if names else {}


def _require_device(row: Row) -> None:
    if row.needs == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise NotRunError(f"a CUDA device ({row.cost})")
    elif row.needs:
        raise NotRunError(f"{row.needs} ({row.cost})")


_MEASURE = {"complexity": _complexity, "parity": _parity, "evaluate": _evaluate, "train": _train}
