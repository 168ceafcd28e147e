"""Tables: on screen, and as Markdown between markers in READMEs and the documentation.

A generated part stands between ``<!-- generated: NAME PAPER -->`` and ``<!-- end generated -->``; in a package's own
README the paper may be left out. Names: ``results``, ``averages``, ``parity``, ``benchmarks``. ``benchmarks ops`` are
those of the core's operators.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean
from typing import TYPE_CHECKING

from mmrepro import papers
from mmrepro.datasets import registry

from . import ledger
from .ledger import Entry
from .rows import Average, Row, averages, not_reproducible, rows
from .tiers import TIERS
from .verdicts import CHOSEN, Measured, Verdict, decimals, format_number, judge, judge_average

if TYPE_CHECKING:
    from rich.table import Table

BENCHMARKS = "benchmarks.json"
OPERATORS = "ops"  # stands for a paper's name where the core's own benchmarks are meant
NOTHING = "not run"
_PART = re.compile(
    r"(?P<start><!-- generated: (?P<name>\w+)(?: (?P<paper>\w+))? -->\n).*?(?P<end><!-- end generated -->)", re.DOTALL
)


def screen_table(selected: Sequence[Row], entries: Sequence[Entry], everything: bool = True) -> Table:
    """Return a rich table of rows: reported, measured, repeat-last or other baseline, tiers reached, verdict.

    Args:
        selected: the rows.
        entries: the ledger.
        everything: whether rows without a number of their own, which have one line each, are more than counted.
    """
    from rich.table import Column, Table

    heads = ("metric", "reported", "measured", "baseline", "tiers", "verdict")
    table = Table(Column("row", no_wrap=True), *heads, show_edge=False, pad_edge=False)
    shown = [row for row in selected if row.metrics or everything]
    if len(shown) < len(selected):
        table.caption = f"and {len(selected) - len(shown)} runs for which the paper gives no number alone"
    for row in shown:
        verdicts = {tier: judge(row, tier, list(entries)) for tier in TIERS}
        best = headline(verdicts)
        measured = {one.metric.name: one for one in best.measured}
        if not row.metrics:
            table.add_row(row.name, "", "", "", "", badges(verdicts), best.text)
        for number, metric in enumerate(row.metrics):
            one = measured.get(metric.name)
            first = number == 0
            table.add_row(
                row.name if first else "",
                metric.name,
                format_number(metric.reported, metric),
                measured_text(one) if one else "",
                baseline_text(one),
                badges(verdicts) if first else "",
                _verdict_text(row, best) if first else "",
            )
    return table


def headline(verdicts: dict[str, Verdict]) -> Verdict:
    """Return the verdict of the strongest tier that measured the row's metrics; an empty one if none did."""
    for tier in ("train", "evaluate"):
        if verdicts[tier].text:
            return verdicts[tier]
    return Verdict("", "")


def badges(verdicts: dict[str, Verdict]) -> str:
    """Return the tiers in short: a tier whose claim holds by name, one that was measured and differs in brackets."""
    shown = [tier if verdicts[tier].reached else f"({tier})" for tier in TIERS if verdicts[tier].text]
    return " ".join(shown) or "-"


def measured_text(one: Measured) -> str:
    """Return ``0.386 ± 0.002 (3 seeds)``, or the value alone for a single run.

    Runs on an unclean tree are named. Where the best checkpoint was chosen on the tested data, that is said, and the
    last one's value stands beside it.
    """
    return _value_text(one) + _remarks(one)


def _value_text(one: Measured) -> str:
    digits = decimals(one.metric)
    spread = "" if one.spread is None else f" ± {one.spread:.{digits}f}"
    last = f", last {_value_text(replace(one, values=one.last, last=()))}" if one.last else ""
    return f"{one.mean:.{digits}f}{spread}{last}"


def _remarks(one: Measured) -> str:
    seeds = "" if one.spread is None else f"{len(one.values)} seeds"
    remarks = ", ".join(filter(None, (seeds, CHOSEN if one.last else "", "unclean tree" if one.unclean else "")))
    return f" ({remarks})" if remarks else ""


def baseline_text(one: Measured | None) -> str:
    """Return the baseline's value on the same samples, or nothing."""
    return f"{one.baseline:.{decimals(one.metric)}f}" if one and one.baseline is not None else ""


def results_markdown(paper: str) -> str:
    """Return the paper's result table: a line for each row with a reported number, and how many rows have none."""
    entries = ledger.load(ledger.path(paper))
    found = rows(paper)
    lines = [
        "| config | data | reported | measured | baseline | tier | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found:
        if row.metrics:
            best = headline({tier: judge(row, tier, entries) for tier in TIERS})
            lines.append(_line([f"`{row.name}`", row.dataset, *_compared(row, best)]))
    others = sum(not row.metrics for row in found)
    if others:
        lines += ["", f"{others} more configs are runs for which the paper gives no number alone: see the model zoo."]
    return "\n".join(lines)


def averages_markdown(paper: str) -> str:
    """Return the table of reported numbers that are means over rows."""
    entries = ledger.load(ledger.path(paper))
    lines = [
        "| average | data | reported | measured | baseline | tier | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for average in averages(paper):
        verdicts = {tier: judge_average(average, tier, entries) for tier in ("train", "evaluate")}
        best = headline(verdicts)
        cells = _compared(average, best)
        if not best.text:
            cells[-1] = f"{NOTHING} ({verdicts['train'].detail})"
        lines.append(_line([f"{average.name} ({len(average.of)} rows)", average.dataset, *cells]))
    return "\n".join(lines)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table without a line break at its end."""
    return "\n".join(_line(cells) for cells in (columns, ["---"] * len(columns), *rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _compared(number: Row | Average, best: Verdict) -> list[str]:
    """Return the cells ``reported``, ``measured``, ``baseline``, ``tier`` and ``verdict``."""
    reported = ", ".join(f"{metric.name} {format_number(metric.reported, metric)}" for metric in number.metrics)
    baselines = [f"{one.metric.name} {baseline_text(one)}" for one in best.measured if one.baseline is not None]
    return [
        reported + (" (unverified)" if number.unverified else ""),
        # One run gives all metrics, so what is to say of the runs is the same for each.
        ", ".join(f"{one.metric.name} {_value_text(one)}" for one in best.measured)
        + (_remarks(best.measured[0]) if best.measured else ""),
        ", ".join(baselines),
        best.tier,
        best.text or _nothing(number),
    ]


def _nothing(number: Row | Average) -> str:
    """Return ``not run``, and what it needs that is no data set, such as weights that no command can fetch."""
    needs = {registry.get(name).what: None for name in getattr(number, "data", ())}
    needed = " and ".join(filter(None, needs))
    return f"{NOTHING}: needs {needed}" if needed else NOTHING


def parity_markdown(paper: str) -> str:
    """Return the lines about model sizes and parity cases."""
    entries = ledger.load(ledger.path(paper))
    found = rows(paper)
    sizes = {row.name: judge(row, "complexity", entries) for row in found}
    official = [sizes[row.name].reached for row in found if row.official_keys]
    others = [sizes[row.name].reached for row in found if not row.official_keys]
    lines = [f"- Number of parameters equal to the official key list's: {sum(official)} of {len(official)} configs."]
    if others:
        lines.append(f"- Equal to the metafile's, where there is no official list: {sum(others)} of {len(others)}.")
    if unused := _never_used([row.name for row in found], entries):
        between = " to ".join(f"{count:,}" for count in sorted({min(unused), max(unused)}))
        lines.append(
            f"- Official lists hold {between} numbers more, which the official code never uses or computes itself."
        )
    lines += [f"  - `{name}`: {one.text} ({one.detail})" for name, one in sizes.items() if one.text and not one.reached]
    parity = judge(found[0], "parity", entries) if found else Verdict("parity", "")
    lines.append(f"- Stored cases of the official code: {parity.detail or NOTHING}.")
    return "\n".join(lines)


def _never_used(names: Sequence[str], entries: list[Entry]) -> list[int]:
    counted = [current[-1].metrics for name in names if (current := ledger.current(entries, name, "complexity"))]
    return [int(one["never_used_parameters"]) for one in counted if one.get("never_used_parameters")]


def benchmarks_root(paper: str) -> Path | None:
    """Return the folder in the checkout that holds a paper's benchmarks, the core's own for ``ops``; else None."""
    if paper != OPERATORS:
        return papers.checkout(paper)
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "pyproject.toml").is_file() else None


def benchmarks_markdown(paper: str) -> str:
    """Return the tables of ``benchmarks.json``: pairs of calls, steps and memory, programs, groups, other tables."""
    root = benchmarks_root(paper) if paper == OPERATORS else papers.root(paper)
    file = root / BENCHMARKS if root else None
    if file is None or not file.is_file():
        return f"Speed: {NOTHING}."
    measured = json.loads(file.read_text(encoding="utf-8"))
    tables = [
        _pairs_table(measured.get("results", {})),
        _steps_table(measured.get("steps", {})),
        _programs_table(measured.get("programs", {})),
    ]
    parts = ["\n".join(lines) for lines in tables if lines]
    if parts:
        parts.append(_circumstances(measured))
    for name, group in measured.get("groups", {}).items():
        parts += [f"**{name}**", "\n".join(_group_table(group["lines"])), _circumstances(group)]
    for title, table in measured.get("tables", {}).items():
        parts += [f"**{title}**", markdown(table["columns"], table["rows"]), table["note"], _circumstances(table)]
    return "\n\n".join(parts)


def _circumstances(measured: dict) -> str:
    torch = measured["versions"].get("torch", "?")
    return f"{measured['hardware']}, {measured['threads']} threads, torch {torch}, {measured['date'][:10]}."


def _group_table(lines: dict) -> list[str]:
    """Return a line for each shape and direction, ours beside the other, and the geometric means."""
    flat = [(what, direction, sides) for what, ways in lines.items() for direction, sides in ways.items()]
    ours, other = flat[0][2]
    header = ["what", "direction", f"{ours} (ms)", f"{other} (ms)", "speed-up", f"{ours} (MiB)", f"{other} (MiB)"]
    table = [_line([*header, "of its memory"]), _line(["---"] * 8)]
    ratios: dict[str, list[tuple[float, float]]] = {}
    for what, direction, sides in flat:
        faster = sides[other]["ms"] / sides[ours]["ms"]
        # Memory comes in pages: less than a MiB counts as one.
        memory = max(1.0, sides[ours]["peak_mib"]) / max(1.0, sides[other]["peak_mib"])
        ratios.setdefault(direction, []).append((faster, memory))
        milliseconds = [_milliseconds(sides[label]["ms"]) for label in (ours, other)]
        mebibytes = [f"{sides[label]['peak_mib']:,.0f}" for label in (ours, other)]
        table.append(_line([what, direction, *milliseconds, f"{faster:.2f} ×", *mebibytes, f"{memory:.2f}"]))
    if len(ratios) > 1:
        ratios["all"] = [pair for pairs in ratios.values() for pair in pairs]
    for direction, pairs in ratios.items():
        faster, memory = (geometric_mean(values) for values in zip(*pairs, strict=True))
        table.append(_line(["geometric mean", direction, "", "", f"{faster:.2f} ×", "", "", f"{memory:.2f}"]))
    return table


def _milliseconds(value: float) -> str:
    """Return three digits, or whole milliseconds with thousands apart where there are more."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _pairs_table(results: dict) -> list[str]:
    lines = [
        f"| {name} | {_milliseconds(one['ours_ms'])} | {_milliseconds(one['reference_ms'])} | {one['speed_up']:.2f} × |"
        for name, one in results.items()
    ]
    return lines and ["| what | ours (ms) | reference (ms) | speed-up |", "| --- | --- | --- | --- |", *lines]


def _steps_table(steps: dict) -> list[str]:
    """Return a line for each way to do a step, with its share of the reference's time and memory."""
    lines = []
    for name, ways in steps.items():
        for label, one in ways.items():
            cells = [f"{one['cpu_ms']:,.0f}", f"{one['peak_mib']:,.0f}", "", ""]
            if label != "reference":
                cells[2:] = [f"{one[key] / ways['reference'][key]:.2f}" for key in ("cpu_ms", "peak_mib")]
            lines.append(f"| {name} | {label} | {' | '.join(cells)} |")
    header = "| what | whose | CPU time (ms) | peak memory (MiB) | of reference's time | of its memory |"
    return lines and [header, "| --- | --- | --- | --- | --- | --- |", *lines]


def _programs_table(programs: dict) -> list[str]:
    """Return a line for each program: CPU time in all and per epoch, their share of the reference's, what came out."""
    lines = []
    for name, sides in programs.items():
        for label, one in sides.items():
            other = sides["reference"]
            cells = [f"{one['cpu_s']:.1f}", "" if one is other else f"{one['cpu_s'] / other['cpu_s']:.2f}"]
            epoch, others_epoch = _per_epoch(one), _per_epoch(other)
            cells.append(f"{epoch:.2f}" if epoch else "")
            cells.append(f"{epoch / others_epoch:.2f}" if epoch and others_epoch and one is not other else "")
            found = ", ".join(f"{key} {value:.4g}" for key, value in one["metrics"].items())
            lines.append(f"| {name} | {label} | {' | '.join(cells)} | {found} |")
    header = "| what | whose | CPU time (s) | of reference's | per epoch (s) | of reference's | result |"
    return lines and [header, "| --- | --- | --- | --- | --- | --- | --- |", *lines]


def _per_epoch(one: dict) -> float | None:
    epochs = one["metrics"].get("epochs")
    return one["cpu_s"] / epochs if epochs else None


def zoo_page(paper: str) -> str:
    """Return the model zoo's page of a paper: results, every config's size, source, cost and weights, parity, speed."""
    found = rows(paper)
    entries = ledger.load(ledger.path(paper))
    lines = [f"# {found[0].collection if found else paper}", "", results_markdown(paper), ""]
    if averages(paper):
        lines += ["## Averages", "", averages_markdown(paper), ""]
    lines += ["## Configs", "", "| config | parameters | where its number stands | cost | official weights |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for row in found:
        weights = (
            f"[file]({row.weights}) ({row.weights_licence or 'licence not stated'})"
            if row.weights
            else "none published"
        )
        size = judge(row, "complexity", entries).detail.removesuffix(" parameters") or NOTHING
        lines.append(_line([f"`{row.name}`", size, row.source, row.cost, weights]))
    if others := not_reproducible(paper):
        lines += ["", "## Reported, but not reproducible", "", "| what | data | reported | source | why |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for one in others:
            numbers = ", ".join(f"{name} {value}" for name, value in one.metrics.items())
            lines.append(_line([one.what, one.dataset, numbers, one.source, one.why]))
    lines += ["", "## Size and parity", "", parity_markdown(paper), "", "## Speed", "", benchmarks_markdown(paper), ""]
    return "\n".join(lines)


PARTS: dict[str, Callable[[str], str]] = {
    "results": results_markdown,
    "averages": averages_markdown,
    "parity": parity_markdown,
    "benchmarks": benchmarks_markdown,
}


def stale_tables(package_root: str | Path) -> list[str]:
    """Return what is out of date in the pages about a package, as ``file: part``; empty when nothing is."""
    return [
        f"{page}: {match['name']}"
        for page in _pages(Path(package_root))
        for match, fresh in _parts(page, _name(Path(package_root)))
        if match.group() != fresh
    ]


def write_tables(package_root: str | Path) -> list[Path]:
    """Bring the generated parts of the pages about a package up to date; return the pages that changed."""
    changed = []
    for page in _pages(Path(package_root)):
        text = page.read_text(encoding="utf-8")
        fresh = text
        for match, part in _parts(page, _name(Path(package_root))):
            fresh = fresh.replace(match.group(), part)
        if fresh != text:
            page.write_text(fresh, encoding="utf-8")
            changed.append(page)
    return changed


def _is_core(package_root: Path) -> bool:
    return package_root.resolve() == benchmarks_root(OPERATORS)


def _name(package_root: Path) -> str:
    """Return what generated parts call a package of this repository."""
    return OPERATORS if _is_core(package_root) else package_root.name


def _pages(package_root: Path) -> list[Path]:
    repository = package_root.resolve().parent
    if not _is_core(package_root):
        repository = repository.parent
    pages = [package_root / "README.md", *sorted((repository / "docs").rglob("*.md")), repository / "README.md"]
    return [page for page in pages if page.is_file()]


def _parts(page: Path, package: str) -> list[tuple[re.Match, str]]:
    """Return each generated part of a page that concerns this package, with what it should be.

    Raises:
        ValueError: the page asks for a part that does not exist.
    """
    found = []
    for match in _PART.finditer(page.read_text(encoding="utf-8")):
        if (match["paper"] or page.parent.name) != package:
            continue
        if match["name"] not in PARTS:
            raise ValueError(f"{page}: there is no generated part {match['name']!r}, only {', '.join(PARTS)}")
        found.append((match, f"{match['start']}\n{PARTS[match['name']](package)}\n\n{match['end']}"))
    return found


def _verdict_text(row: Row, best: Verdict) -> str:
    text = best.text or _nothing(row)
    return f"{text}; reported value unverified" if row.unverified else text
