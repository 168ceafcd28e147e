"""The HTML report of a paper: one file that needs nothing else, with every number's tier, seeds and circumstances."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from . import ledger, plots
from .ledger import Entry
from .rows import Average, Row, averages, baseline, not_reproducible, rows
from .tables import NOTHING, baseline_text, headline, measured_text
from .tiers import CLAIMS, TIERS, Outcome
from .verdicts import Verdict, decimals, format_number, judge, judge_average

TEMPLATES = Path(__file__).with_name("templates")


def write(paper: str, work_dir: Path, *, out: Path | None = None, outcomes: Sequence[Outcome] = ()) -> Path:
    """Write a paper's report from its ledger and from the logs below the work directory, where there are any.

    Args:
        paper: an installed paper.
        work_dir: where ``mmrepro reproduce`` ran.
        out: the file to write, by default ``<work_dir>/<paper>/report.html``.
        outcomes: what became of each attempt of the run that just ended.

    Returns:
        The file.
    """
    entries = ledger.load(ledger.path(paper, work_dir))
    selected = rows(paper)
    verdicts = {row.name: {tier: judge(row, tier, entries) for tier in TIERS} for row in selected}
    best = {row.name: headline(verdicts[row.name]) for row in selected}
    drawn = [(row.name, one) for row in selected for one in best[row.name].measured]
    reported = [row for row in selected if row.metrics]
    measured = sum(bool(best[row.name].text) for row in reported)
    verified = sum(best[row.name].reached for row in reported)
    html = render(
        "report.html.j2",
        title=f"{paper}: reported and reproduced",
        summary=f"{len(reported)} reported rows, {measured} measured, {verified} reproduced.",
        overview=_base64(plots.reported_and_measured(drawn)) if drawn else None,
        rows=[_row(row, verdicts[row.name], entries, work_dir / paper / row.name) for row in selected],
        baseline=baseline(paper),
        averages=[_average(average, entries) for average in averages(paper)],
        not_reproducible=not_reproducible(paper),
        tiers=_tiers(selected, verdicts),
        outcomes=outcomes,
        versions=list(dict.fromkeys(_versions(entry) for entry in entries)),
    )
    out = out or work_dir / paper / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html, encoding="utf-8")
    return out


def render(template: str | Path, **context: object) -> str:
    """Return a template filled in; everything is escaped.

    Args:
        template: a file, which may extend those of this folder, or the name of one of them.
        context: what is filled in.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    file = TEMPLATES / template
    environment = Environment(
        loader=FileSystemLoader([file.parent, TEMPLATES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(file.name).render(**context)


def duration(seconds: float) -> str:
    """Return ``95 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _row(row: Row, verdicts: dict[str, Verdict], entries: list[Entry], folder: Path) -> dict:
    speaking = [e for tier in ("evaluate", "train") for e in ledger.current(entries, row.name, tier)]
    return {
        "name": row.name,
        "dataset": row.dataset + (" (reported value unverified)" if row.unverified else ""),
        "source": row.source,
        "cost": row.cost,
        "lines": _lines(row, headline(verdicts)),
        "tiers": [_badge(tier, verdicts[tier]) for tier in TIERS],
        "runs": [_run(row, entry) for entry in speaking],
        "curves": _curves(row, folder, speaking),
    }


def _average(average: Average, entries: list[Entry]) -> dict:
    verdicts = {tier: judge_average(average, tier, entries) for tier in ("train", "evaluate")}
    best = headline(verdicts)
    return {
        "name": average.name,
        "dataset": average.dataset + (" (reported value unverified)" if average.unverified else ""),
        "rows": len(average.of),
        "detail": "" if best.text else verdicts["train"].detail,
        "lines": _lines(average, best),
    }


def _lines(number: Row | Average, best: Verdict) -> list[dict]:
    """Return one line of the comparison per metric."""
    measured = {one.metric.name: one for one in best.measured}
    lines = []
    for metric in number.metrics:
        one = measured.get(metric.name)
        lines.append(
            {
                "metric": metric.name,
                "reported": format_number(metric.reported, metric),
                "tolerance": format_number(metric.tolerance, metric),
                "measured": measured_text(one) if one else "",
                "baseline": baseline_text(one),
                "verdict": one.verdict if one else NOTHING,
                "state": "absent" if one is None else "differs" if one.verdict.startswith("off") else "reached",
            }
        )
    return lines


def _badge(tier: str, verdict: Verdict) -> dict:
    state = "reached" if verdict.reached else "differs" if verdict.text else "absent"
    return {"name": tier, "state": state, "title": verdict.text or NOTHING}


def _run(row: Row, entry: Entry) -> dict:
    shown = [
        f"{metric.name} {entry.metrics[metric.key] * metric.scale:.{decimals(metric) + 1}f}" for metric in row.metrics
    ] or [f"{name} {value:.4g}" for name, value in entry.metrics.items()]
    return {
        "tier": entry.tier,
        "seed": entry.seed,
        "result": ", ".join(shown),
        "config": entry.config,
        "commit": entry.commit[:8],
        "clean": entry.clean,
        "hardware": entry.hardware,
        "threads": entry.threads,
        "duration": duration(entry.seconds),
        "date": entry.date[:10],
    }


def _tiers(selected: Sequence[Row], verdicts: dict[str, dict[str, Verdict]]) -> list[dict]:
    found = []
    for tier, claim in CLAIMS.items():
        judged = [verdicts[row.name][tier] for row in selected]
        if tier == "parity" and judged:
            detail = judged[0].detail or NOTHING
        else:
            detail = f"holds for {sum(v.reached for v in judged)} of {len(judged)} rows"
        found.append({"name": tier, "claim": claim, "detail": detail})
    return found


def _curves(row: Row, folder: Path, speaking: Sequence[Entry]) -> str | None:
    """Return the loss curves of the runs that speak for a row, where their logs are still here."""
    logs = [
        (f"seed {entry.seed}", sorted(run.glob("*/vis_data/scalars.json")))
        for entry in speaking
        if entry.tier == "train"
        for run in sorted(folder.glob(f"seed{entry.seed}-{entry.config}*"))
    ]
    if not logs:
        return None
    picture = plots.loss_curves(logs, row.metrics[0].key if row.metrics else next(iter(speaking[0].metrics)))
    return _base64(picture) if picture else None


def _versions(entry: Entry) -> str:
    return ", ".join(f"{name} {version}" for name, version in entry.versions.items())


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
