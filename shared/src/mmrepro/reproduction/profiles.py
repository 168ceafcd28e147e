"""Profiles: small trainings of a paper that belong together, run one after another into one table beside a baseline.

A config belongs to the profile ``smoke`` if it has a dict of that name itself. Nothing of a profile goes into the
ledger: small models on small data say that everything works, and nothing about the paper's numbers.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmrepro import papers

from . import environment, report, runs
from .verdicts import BASELINE

KEYS = ("subject", "data", "network", "metric", "better", "baseline")


@dataclass(frozen=True)
class Member:
    """One training of a profile.

    Attributes:
        file: the config.
        subject: what it is about, for example the modality.
        data: the data, with whether they are real or generated.
        network: what the network started from.
        metric: the name of the judged metric, as the test prints it.
        better: ``higher`` or ``lower``.
        baseline: what stands beside it; the test prints its value as ``baseline_<metric>``.
    """

    file: Path
    subject: str
    data: str
    network: str
    metric: str
    better: str
    baseline: str


@dataclass(frozen=True)
class Result:
    """What came of one training; without metrics, ``fault`` says why."""

    member: Member
    metrics: dict[str, float]
    seconds: float
    cpu_seconds: float
    fault: str = ""

    @cached_property
    def value(self) -> float | None:
        """The judged metric."""
        return self.metrics.get(self.member.metric)

    @cached_property
    def baseline(self) -> float | None:
        """The baseline's value on the same samples."""
        return self.metrics.get(BASELINE + self.member.metric)

    @property
    def beats_baseline(self) -> bool:
        """Whether the model is better than its baseline; one that has no value is not."""
        if self.value is None or self.baseline is None:
            return False
        return self.value > self.baseline if self.member.better == "higher" else self.value < self.baseline


def members(paper: str, profile: str) -> list[Member]:
    """Return the trainings of a profile, in the order of their configs' names.

    Raises:
        LookupError: no config of the paper belongs to it.
        ValueError: a config says too little, or what no training of a profile says.
    """
    found = []
    for file in papers.configs(paper):
        said = _assigned(file, profile)
        if said is None:
            continue
        if set(said) != set(KEYS) or said["better"] not in ("higher", "lower"):
            raise ValueError(
                f"{file}: {profile} must be a dict of {', '.join(KEYS)}, where better is higher or lower; it is {said}"
            )
        found.append(Member(file, **said))
    if not found:
        raise LookupError(f"{paper} has no profile {profile!r}: none of its configs has a dict of that name")
    return found


def run(
    paper: str,
    profile: str,
    work_dir: Path,
    *,
    data_root: Path | None = None,
    seed: int = 0,
    say: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Train and test every member of a profile, each in child processes; one that fails does not stop the others.

    What is tested is the last checkpoint: none is chosen on what it is tested on.

    Args:
        paper: an installed paper.
        profile: its name.
        work_dir: checkpoints and logs go to ``<work_dir>/<paper>/<profile>/<config>``.
        data_root: the folder of the data sets.
        seed: of each training.
        say: called with each result as soon as it is known.

    Raises:
        LookupError, ValueError: as :func:`members`.
    """
    paper = papers.canonical(paper)
    results = []
    for member in members(paper, profile):
        folder = work_dir / paper / profile / member.file.stem
        wall, cpu = time.monotonic(), _children()
        metrics, fault = {}, ""
        try:
            checkpoint = runs.train(
                paper, member.file, folder, seed=seed, resume=False, data_root=data_root, choose=runs.last_checkpoint
            )
            metrics = runs.evaluate(paper, member.file, checkpoint, folder, data_root=data_root)
            absent = [name for name in (member.metric, BASELINE + member.metric) if name not in metrics]
            if absent:
                fault = f"the test printed no {' and no '.join(absent)}; it printed {', '.join(metrics) or 'nothing'}"
        except runs.RunFailedError as error:
            fault = str(error)
        results.append(Result(member, metrics, time.monotonic() - wall, _children() - cpu, fault))
        say(results[-1])
    return results


def screen_table(results: list[Result]):
    """Return a rich table of a profile's results."""
    from rich.table import Table

    table = Table(*HEAD, show_edge=False, pad_edge=False)
    for result in results:
        table.add_row(*_cells(result))
    return table


def write(paper: str, profile: str, results: list[Result], work_dir: Path) -> Path:
    """Write ``<work_dir>/<paper>/<profile>.html`` and return it."""
    page = work_dir / paper / f"{profile}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    html = report.render(
        "profile.html.j2",
        title=f"{paper}: {profile}",
        head=HEAD,
        lines=[(_cells(result), result.beats_baseline) for result in results],
        faults=[f"{result.member.file.stem}: {result.fault}" for result in results if result.fault],
        duration=report.duration(sum(result.seconds for result in results)),
        cpu=report.duration(sum(result.cpu_seconds for result in results)),
        hardware=environment.hardware(),
        threads=environment.threads(),
        versions=", ".join(f"{name} {version}" for name, version in environment.versions(paper).items()),
    )
    page.write_text(html, encoding="utf-8")
    return page


def _assigned(file: Path, name: str) -> dict[str, str] | None:
    """Return ``name = dict(...)`` of a config's own text: what a base says holds for the base alone."""
    for line in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", None) == name:
            keywords = line.value.keywords if isinstance(line.value, ast.Call) else ()
            return {one.arg: ast.literal_eval(one.value) for one in keywords}
    return None


HEAD = ("subject", "data", "network", "metric", "model", "baseline", "what the baseline is", "CPU time")


def _cells(result: Result) -> tuple[str, ...]:
    one = result.member
    numbers = ("failed" if value is None else f"{value:.4g}" for value in (result.value, result.baseline))
    better = f"{one.metric} ({one.better} is better)"
    return (one.subject, one.data, one.network, better, *numbers, one.baseline, report.duration(result.cpu_seconds))


def _children() -> float:
    """Return the processor time in seconds of all child processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system
