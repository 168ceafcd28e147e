"""Average precisions as numbers by name and as the official evaluator's text."""

from __future__ import annotations

from collections.abc import Iterable

from mm_monodino_detr.evaluation.kitti_ap import LOOSE, MEASURES, POINTS, STRICT, Curves

_KEYS = {"2D": "AP2D", "BEV": "APBEV", "3D": "AP3D", "AOS": "AOS"}


def averages(curves: Curves) -> dict[str, float]:
    """Return all average precisions in per cent: ``Car_AP3D_R40_moderate``, and ``..._loose`` of the loose overlaps.

    The measures are ``AP2D``, ``APBEV``, ``AP3D`` and, where the results have angles, ``AOS``; the recall points are
    ``R40`` and ``R11``. Loose overlaps have a key where they differ.
    """
    found: dict[str, float] = {}
    for kind, end in ((STRICT, ""), (LOOSE, "_loose")):
        for measure in curves.measures():
            place = MEASURES.index("2D" if measure == "AOS" else measure)
            if kind == LOOSE and curves.overlaps[LOOSE][place] == curves.overlaps[STRICT][place]:
                continue
            for points in (40, 11):
                values = curves.average(measure, points, kind)
                for level, value in zip(curves.levels, values.tolist(), strict=True):
                    found[f"{curves.name}_{_KEYS[measure]}_R{points}_{level}{end}"] = value
    return found


def official_text(curves: Curves) -> str:
    """Return the table that the official evaluator prints for a class: a column per level, in per cent."""
    lines = []
    for kind in (STRICT, LOOSE):
        overlaps = ", ".join(f"{least:.2f}" for least in curves.overlaps[kind])
        for points, end in ((11, ""), (40, "_R40")):
            lines.append(f"{curves.name} AP{end}@{overlaps}:")
            for measure, name in (("2D", "bbox"), ("BEV", "bev "), ("3D", "3d  "), ("AOS", "aos ")):
                if measure in curves.measures():
                    digits = 2 if measure == "AOS" else 4
                    values = ", ".join(f"{value:.{digits}f}" for value in curves.average(measure, points, kind))
                    lines.append(f"{name} AP:{values}")
    return "".join(f"{line}\n" for line in lines)


def short_text(every: Iterable[Curves]) -> str:
    """Return a table with a line per class: AP3D, AP-BEV, AP-2D and AOS at 40 points, strict overlaps, in per cent.

    A last line names the classes and levels with too few objects to reach 100.
    """
    every = tuple(every)
    measures = ("3D", "BEV", "2D", "AOS")
    rows: list[tuple[str, ...]] = []
    for curves in every:
        if not rows:
            levels = "/".join(curves.levels)
            rows.append(("class", "objects", *(f"{_KEYS[measure]}_R40 {levels}" for measure in measures)))
        cells = [
            "/".join(f"{value:.2f}" for value in curves.average(measure)) if measure in curves.measures() else "-"
            for measure in measures
        ]
        rows.append((curves.name, "/".join(str(count) for count in curves.ground_truth), *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if few := [
        f"{curves.name} {level} {count}"
        for curves in every
        for level, count in zip(curves.levels, curves.ground_truth.tolist(), strict=True)
        if 0 < count < POINTS
    ]:
        most = f"100 (n - 1) / {POINTS - 1} at R{POINTS - 1}"
        lines.append(f"with fewer than {POINTS} objects no result reaches 100, with n at most {most}: {', '.join(few)}")
    return "\n".join(lines)
