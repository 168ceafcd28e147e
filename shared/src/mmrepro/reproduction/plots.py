"""The plots of a report, as PNG bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .verdicts import Measured, format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, BAND, GOOD, BAD = "#1f2933", "#cfe3d4", "#2f7d4f", "#b4432f"


def reported_and_measured(measured: Sequence[tuple[str, Measured]]) -> bytes:
    """Draw one line per row and metric: the reported value with its tolerance as a band, every seed as a dot.

    Each line has its own scale, in tolerances from the reported value: rows of different size stay comparable.

    Args:
        measured: the row's name and one of its measured metrics, in the order to draw.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.9 + 0.42 * len(measured)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(-1, 1, color=BAND, lw=0)
    axes.axvline(0, color=INK, lw=1)
    largest = 1.0
    for line, (_, one) in enumerate(measured):
        unit = one.metric.tolerance or 1e-12
        offsets = [(value - one.metric.reported) / unit for value in one.values]
        mean = (one.mean - one.metric.reported) / unit
        largest = max(largest, *map(abs, offsets))
        color = BAD if one.verdict.startswith("off") else GOOD
        axes.plot(offsets, [line] * len(offsets), "o", color=color, ms=5, alpha=0.6)
        axes.plot([mean], [line], "|", color=color, ms=15, mew=2)
    labels = [f"{name}   {one.metric.name} {format_number(one.metric.reported, one.metric)}" for name, one in measured]
    axes.set_yticks(range(len(measured)), labels, fontsize=8)
    axes.set_ylim(len(measured) - 0.5, -0.5)
    axes.set_xlim(-1.15 * largest, 1.15 * largest)
    legend = "band: within the tolerance, dot: one seed, bar: mean"
    axes.set_xlabel(f"measured minus reported, in tolerances ({legend})", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return _png(figure)


def loss_curves(logs: Sequence[tuple[str, Sequence[Path]]], validation: str) -> bytes | None:
    """Draw the training loss over steps and a validation metric over epochs or steps, one line per run.

    Args:
        logs: each run's label and its ``scalars.json`` as mmengine writes them, one for each time it was resumed.
        validation: key of the validation metric.

    Returns:
        The picture, or None where the logs hold no loss.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    train, validate = figure.subplots(1, 2)
    drawn, unit = False, "iteration"
    for label, files in logs:
        lines = [line for file in files for line in read_scalars(file)]
        loss = [(line["step"], line["loss"]) for line in lines if "loss" in line and "step" in line]
        metric = [(line["step"], line[validation]) for line in lines if validation in line and "loss" not in line]
        if any("epoch" in line for line in lines):  # training that counts steps alone writes none
            unit = "epoch"
        if loss:
            drawn = True
            train.plot(*zip(*loss, strict=True), lw=1, label=label)
        if metric:
            validate.plot(*zip(*metric, strict=True), "o-", lw=1, ms=3, label=label)
    if not drawn:
        return None
    for axes, title in ((train, "training loss by iteration"), (validate, f"validation {validation} by {unit}")):
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    validate.xaxis.set_major_locator(MaxNLocator(integer=True))
    train.legend(fontsize=7, frameon=False)
    return _png(figure)


def read_scalars(log: Path) -> list[dict]:
    """Return the entries of a ``scalars.json``: one JSON object per line; a torn last line is left out."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
