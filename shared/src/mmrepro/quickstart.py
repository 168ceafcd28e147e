"""The quickstart: a paper's model trained in minutes on data that need no download, tested, drawn and reported.

A paper may have other small trainings, on data of which some must be fetched: they are run and reported alike.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mmrepro import papers
from mmrepro.datasets import registry
from mmrepro.reproduction import environment, report, rows, runs
from mmrepro.reproduction.verdicts import BASELINE

GENERATED = (
    "The data come from a generator inside the repository, so the result says nothing about the paper's numbers."
)


@dataclass(frozen=True)
class SmallTraining:
    """What the report says of a small training.

    Attributes:
        note: of its data.
        data: the data sets that it needs, by their registered names.
        baseline: what it is compared with, where that is not the metafile's.
    """

    note: str
    data: tuple[str, ...] = ()
    baseline: str = ""


@dataclass(frozen=True)
class Result:
    """What a quickstart measured and wrote."""

    metrics: dict[str, float]
    figures: list[Path]
    report: Path
    baseline: str  # what the baseline is
    better: dict[str, str]  # by measure: lower or higher, as the paper's metafile says

    @property
    def compared(self) -> dict[str, tuple[float, float]]:
        """By metric: the model's value and the baseline's on the same samples."""
        pairs = {key.removeprefix(BASELINE): value for key, value in self.metrics.items() if key.startswith(BASELINE)}
        return {name: (self.metrics[name], value) for name, value in pairs.items() if name in self.metrics}

    @property
    def behind(self) -> list[str]:
        """The metrics in which the model does not beat the baseline; one that no row reports is not judged."""
        signs = {name: {"higher": 1, "lower": -1}.get(self.better.get(_measure(name))) for name in self.compared}
        return [
            name
            for name, (value, baseline) in self.compared.items()
            if signs[name] and not signs[name] * (value - baseline) > 0  # a value that is no number beats nothing
        ]


def run(paper: str, work_dir: Path, *, config: str | None = None, seed: int = 2023) -> Result:
    """Train, test, draw and report; the result is never a row.

    The paper's ``<module>.quickstart`` names the config in ``CONFIG`` and draws with
    ``draw(config, checkpoint, out_dir) -> list of PNG files``, whose names stand above them in the report. It may say
    in ``NOTE`` what the report should tell of the data, and have a :class:`SmallTraining` for each name of another
    config in ``OTHERS``. What the baseline is says the metafile, unless the small training does.

    Args:
        paper: an installed paper.
        work_dir: where everything goes.
        config: one of the paper's other small trainings; None for the quickstart.
        seed: of the training.

    Raises:
        LookupError: the paper has no such small training.
        DataNotFoundError, DataCorruptError: a data set that it needs is not there, or is not the published one.
        RunFailedError: training or test failed.
        ModuleNotFoundError: the paper has no quickstart.
    """
    paper = papers.canonical(paper)
    own = import_module(f"{papers.module(paper)}.quickstart")
    known = {own.CONFIG: SmallTraining(getattr(own, "NOTE", GENERATED)), **getattr(own, "OTHERS", {})}
    name = config or own.CONFIG
    if name not in known:
        raise LookupError(f"{name!r} is no small training of {paper}; these are: {', '.join(known)}")
    file = papers.find_config(paper, name)
    for data in known[name].data:
        registry.locate(data)
    start = time.monotonic()
    best = runs.train(paper, file, work_dir, seed=seed, resume=False)
    metrics = runs.evaluate(paper, file, best, work_dir)
    seconds = time.monotonic() - start
    figures = own.draw(file, best, work_dir / "figures")
    page = work_dir / "report.html"
    result = Result(metrics, figures, page, known[name].baseline or rows.baseline(paper), _better(paper))
    page.write_text(
        report.render(
            "quickstart.html.j2",
            title=f"{paper}: {config or 'quickstart'}",
            lines=[
                {"name": name, "value": f"{value:.4f}", "baseline": f"{baseline:.4f}"}
                for name, (value, baseline) in result.compared.items()
            ],
            note=known[name].note,
            data=[one.detail for data in known[name].data for one in registry.status(data).files],
            baseline=result.baseline,
            images=[(figure.stem, base64.b64encode(figure.read_bytes()).decode()) for figure in figures],
            config=name,
            seed=seed,
            duration=report.duration(seconds),
            hardware=environment.hardware(),
            threads=environment.threads(),
            versions=", ".join(f"{name} {version}" for name, version in environment.versions(paper).items()),
        ),
        encoding="utf-8",
    )
    return result


def _better(paper: str) -> dict[str, str]:
    return {_measure(metric.key): metric.better for row in rows.rows(paper) for metric in row.metrics}


def _measure(key: str) -> str:
    """Return ``psnr`` for ``Set5/psnr``: the quickstart may test other sets than the rows."""
    return key.rpartition("/")[2]
