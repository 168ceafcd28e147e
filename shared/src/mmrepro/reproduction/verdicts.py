"""Comparing measured with reported numbers.

A metric is ``reproduced`` when its mean over the seeds differs from the reported value by no more than the tolerance.
Beyond it the difference is named: ``off by x``, or ``better by x`` in the direction in which better lies. Neither
counts as reproduced: a leak, or a last batch that is left out, looks better too.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from statistics import mean, stdev

from . import ledger
from .ledger import Entry
from .rows import Average, Metric, Row

BASELINE = "baseline_"
NO_NUMBER = "measured; the paper gives no number for it alone"
DIFFERS = "differs (convention)"
CHOSEN = "best checkpoint on the tested data"


@dataclass(frozen=True)
class Measured:
    """A metric over the runs that speak for a row, in the reported unit."""

    metric: Metric
    values: tuple[float, ...]
    seeds: tuple[int | None, ...]
    baseline: float | None  # a trivial method's value on the same samples
    unclean: bool = False  # one of the runs was made on a checkout that differed from its commit
    last: tuple[float, ...] = ()  # of the last checkpoints, where the values are of the best on the tested data

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the runs (n - 1); None for a single run."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def verdict(self) -> str:
        """``reproduced``, ``off by x`` or ``better by x``."""
        difference = self.mean - self.metric.reported
        # 0.394 - 0.386 is 0.008000000000000007: a tolerance is a decimal number, not a binary one.
        if round(abs(difference), 9) <= self.metric.tolerance:
            return "reproduced"
        improved = (difference < 0) == (self.metric.better == "lower")
        return f"{'better' if improved else 'off'} by {format_number(abs(difference), self.metric)}"


@dataclass(frozen=True)
class Verdict:
    """What one tier says about one row."""

    tier: str
    text: str  # "reproduced", "off by 0.012 (MSE)", ... ; empty when nothing was measured
    measured: tuple[Measured, ...] = ()
    detail: str = ""

    @property
    def reached(self) -> bool:
        """Whether the tier's claim holds."""
        return self.text == "reproduced"


def judge(row: Row, tier: str, entries: list[Entry]) -> Verdict:
    """Return what a ledger's entries say about a row in one tier."""
    if tier == "parity":
        return _judge_parity(ledger.current(entries, ledger.EVERY_ROW, tier))
    speaking = ledger.current(entries, row.name, tier)
    if not speaking:
        return Verdict(tier, "")
    if tier == "complexity":
        return _judge_complexity(row, speaking[-1])
    if not row.metrics:
        return Verdict(tier, NO_NUMBER)
    measured = tuple(_measured(metric, speaking) for metric in row.metrics)
    return Verdict(tier, _summary(measured), measured)


def judge_average(average: Average, tier: str, entries: list[Entry]) -> Verdict:
    """Return what a ledger's entries say about a mean over rows: nothing before every row was measured."""
    members = [ledger.current(entries, name, tier) for name in average.of]
    done = sum(map(bool, members))
    if done < len(members):
        return Verdict(tier, "", detail=f"{done} of {len(members)} rows measured")
    measured = []
    for metric in average.metrics:
        of_rows = [_measured(metric, speaking) for speaking in members]
        baselines = [one.baseline for one in of_rows]
        baseline = None if None in baselines else mean(baselines)
        unclean = any(one.unclean for one in of_rows)
        measured.append(Measured(metric, (mean(one.mean for one in of_rows),), (None,), baseline, unclean))
    return Verdict(tier, _summary(tuple(measured)), tuple(measured))


def format_number(value: float, metric: Metric) -> str:
    """Format a value with the digits in which its metric was reported."""
    return f"{value:.{decimals(metric)}f}"


def decimals(metric: Metric) -> int:
    """Return the digits after the point in which a metric and its tolerance were written."""
    written = (Decimal(repr(number)).normalize() for number in (metric.reported, metric.tolerance))
    return max(0, *(-number.as_tuple().exponent for number in written))


def _measured(metric: Metric, speaking: list[Entry]) -> Measured:
    """Return one metric over the runs.

    Raises:
        KeyError: a run's result lacks the key that the metafile names.
    """
    for item in speaking:
        if metric.key not in item.metrics:
            raise KeyError(
                f"{item.row}: the result holds no {metric.key!r} for {metric.name}, only {', '.join(item.metrics)}"
            )
    values = tuple(item.metrics[metric.key] * metric.scale for item in speaking)
    baselines = [item.metrics[BASELINE + metric.key] for item in speaking if BASELINE + metric.key in item.metrics]
    return Measured(
        metric,
        values,
        tuple(item.seed for item in speaking),
        mean(baselines) * metric.scale if baselines else None,
        any(_is_unclean(item) for item in speaking),
        tuple(item.details[ledger.LAST][metric.key] * metric.scale for item in speaking if ledger.LAST in item.details),
    )


def _is_unclean(item: Entry) -> bool:
    """Whether the checkout differed from its commit; a wheel has none, and its version says what ran."""
    return bool(item.commit) and not item.clean


def _summary(measured: tuple[Measured, ...]) -> str:
    verdicts = [(one.verdict, one.metric.name) for one in measured]
    for start in ("off by", "better by"):
        named = [f"{text} ({name})" for text, name in verdicts if text.startswith(start)]
        if named:
            return ", ".join(named)
    return "reproduced"


def _judge_complexity(row: Row, item: Entry) -> Verdict:
    counted, official = int(item.metrics["parameters"]), item.metrics.get("official_parameters")
    detail = f"{counted:,} parameters" + (", unclean tree" if _is_unclean(item) else "")
    for name, value in (("the official key list", official), ("the metafile", row.parameters)):
        if value is not None and counted != value:
            return Verdict("complexity", f"off by {counted - value:+,.0f} parameters against {name}", detail=detail)
    if official is None and row.parameters is None:
        return Verdict("complexity", "", detail=f"{detail}; nothing to compare them with")
    if row.gmacs is not None and "gmacs" in item.metrics:
        measured = item.metrics["gmacs"]
        detail += f", {measured:.4g} G multiply-accumulates (reported {row.gmacs:g})"
        if not within_rounding(measured, row.gmacs):
            return Verdict("complexity", DIFFERS, detail=detail)
    return Verdict("complexity", "reproduced", detail=detail)


def within_rounding(measured: float, reported: float) -> bool:
    """Whether a number of operations lies within 3 % of the reported one, or rounds to it."""
    digits = -Decimal(repr(reported)).as_tuple().exponent  # 10.0 was written with one, 10 with none
    return abs(measured - reported) <= max(0.03 * abs(reported), 0.5 * 10**-digits)


def _judge_parity(speaking: list[Entry]) -> Verdict:
    if not speaking:
        return Verdict("parity", "")
    newest = speaking[-1]
    counts = {name: int(newest.metrics[name]) for name in ("passed", "failed", "not_served", "no_data")}
    detail = f"{counts['passed']} cases passed, the worst at {newest.metrics['worst']:.2g} of its tolerance"
    for name, words in (("failed", "failed"), ("not_served", "not served"), ("no_data", "without their data")):
        if counts[name]:
            detail += f", {counts[name]} {words}"
    if _is_unclean(newest):
        detail += ", unclean tree"
    if counts["failed"]:
        return Verdict("parity", f"off in {counts['failed']} cases", detail=detail)
    if counts["no_data"]:
        total = counts["passed"] + counts["no_data"]
        part = f"part: {counts['passed']} of {total} cases, {counts['no_data']} without their data"
        return Verdict("parity", part, detail=detail)
    return Verdict("parity", "reproduced" if counts["passed"] else "", detail=detail)
