"""The rows of a paper: every number that it reports, as the package's metafile states it.

A row is one result of one model in the metafile; a reported number is written nowhere else. Beside the fields that
``mim search`` shows (it ignores the others):

- a result has ``Source``, ``Tolerance``, ``Measured By`` (the evaluator's key, or ``{Key: ..., Scale: 100}``) and
  ``Better`` (lower or higher), and may have ``Data`` (names in the data registry), ``Cost``, ``Needs`` (what training
  needs; ``cuda`` is looked for), ``Seeds``, ``Unverified``; with ``Metrics: {}`` it is a run of the paper without a
  number of its own, ``Source`` says where it counts, and it is evaluated, or trained with one seed, when it is named;
- a model may have ``Weights`` with ``Weights SHA256`` and ``Weights Licence``, and ``Input Shape`` for ``FLOPs (G)``;
- its ``Metadata`` may have ``Parameters`` (0: it is evaluated without weights), ``Official Keys``
  (``file.json#variant`` in tests/parity), ``FLOPs (G)``, and ``Official Checkpoint``, the name of a published file that
  no command can fetch.

Beside ``Models`` a metafile may have ``Baseline``, what the trivial method beside every measured value is;
``Averages``, numbers that are means over rows: ``Name``, ``Of`` (names of rows), ``Dataset`` and a result's
``Metrics``, ``Source``, ``Tolerance``, ``Measured By``, ``Better``, ``Unverified``; and ``Not Reproducible``, reported
numbers that no config can give: ``What``, ``Dataset``, ``Metrics`` (shown as they are written), ``Source`` and ``Why``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mmrepro import papers

DEFAULT_SEEDS = (2023, 1, 2)


class MetafileError(ValueError):
    """A metafile lacks a field or contradicts itself; the message names model, result and field."""


@dataclass(frozen=True)
class Metric:
    """One reported number of a row."""

    name: str
    reported: float
    tolerance: float
    key: str  # in the evaluator's result
    scale: float = 1.0  # times the evaluator's value gives the reported unit
    better: str = "lower"


@dataclass(frozen=True)
class Row:
    """One reported result: a config, a data set and its metrics."""

    paper: str
    collection: str  # the paper's name as its authors write it
    name: str
    config: str
    task: str
    dataset: str
    metrics: tuple[Metric, ...]  # none: a run of the paper that has no number of its own
    source: str
    data: tuple[str, ...] = ()  # names in the data registry
    cost: str = "unknown"
    needs: str = ""  # "cuda": training needs a GPU
    seeds: tuple[int, ...] = DEFAULT_SEEDS
    unverified: bool = False
    parameters: int | None = None
    official_keys: str = ""
    official_file: str = ""  # a published checkpoint that has to be fetched by hand
    gmacs: float | None = None
    input_shape: tuple[int, ...] = ()
    weights: str = ""
    weights_sha256: str = ""
    weights_licence: str = ""


@dataclass(frozen=True)
class Average:
    """A reported number that is the mean over several rows."""

    paper: str
    name: str
    of: tuple[str, ...]  # names of rows
    dataset: str
    metrics: tuple[Metric, ...]
    source: str
    unverified: bool = False


@dataclass(frozen=True)
class NotReproducible:
    """Reported numbers that nobody but their authors can measure, and why."""

    what: str
    dataset: str
    metrics: Mapping[str, float | str]
    source: str
    why: str


def baseline(paper: str) -> str:
    """Return what a paper calls the trivial method whose values stand beside the measured ones."""
    found = [metafile["Baseline"] for metafile in papers.metafiles(papers.canonical(paper)) if "Baseline" in metafile]
    return found[0] if found else "a trivial method"


def averages(paper: str) -> list[Average]:
    """Return a paper's averages in the metafiles' order.

    Raises:
        MetafileError: a metafile is incomplete, or an average is over a row that does not exist.
    """
    paper = papers.canonical(paper)
    known = {row.name for row in rows(paper)}
    found = []
    for metafile in papers.metafiles(paper):
        for node in metafile.get("Averages") or []:
            where = f"{paper}: average {node.get('Name', '?')!r}"
            members = tuple(_field(node, "Of", where))
            if unknown := [name for name in members if name not in known]:
                raise MetafileError(f"{where}: no row is named {unknown[0]!r}")
            found.append(
                Average(
                    paper=paper,
                    name=_field(node, "Name", where),
                    of=members,
                    dataset=_field(node, "Dataset", where),
                    metrics=_metrics(node, where),
                    source=_field(node, "Source", where),
                    unverified=bool(node.get("Unverified", False)),
                )
            )
    return found


def not_reproducible(paper: str) -> list[NotReproducible]:
    """Return the reported numbers that cannot be measured, in the metafiles' order.

    Raises:
        MetafileError: a metafile is incomplete.
    """
    metafiles = papers.metafiles(papers.canonical(paper))
    nodes = [node for metafile in metafiles for node in metafile.get("Not Reproducible") or []]
    where = f"{paper}: a number that is not reproducible"
    return [
        NotReproducible(*(_field(node, name, where) for name in ("What", "Dataset", "Metrics", "Source", "Why")))
        for node in nodes
    ]


def rows(paper: str, pattern: str | None = None) -> list[Row]:
    """Return a paper's rows in the metafiles' order.

    Args:
        paper: an installed paper.
        pattern: keep the rows whose name matches it, with ``*`` and ``?``, or contains it.

    Raises:
        MetafileError: a metafile is incomplete.
        LookupError: no row matches the pattern.
    """
    paper = papers.canonical(paper)
    models = [model for metafile in papers.metafiles(paper) for model in metafile.get("Models") or []]
    found = [row for model in models for row in _rows_of_model(paper, model)]
    if pattern is None:
        return found
    matching = [row for row in found if fnmatchcase(row.name, pattern) or pattern in row.name]
    if not matching:
        listed = "\n  ".join(row.name for row in found) or "none"
        raise LookupError(f"no row of {paper} matches {pattern!r}; its rows:\n  {listed}")
    return matching


def _rows_of_model(paper: str, model: Mapping) -> list[Row]:
    results = model.get("Results") or []
    return [_row(paper, model, result, unique=len(results) == 1) for result in results]


def _row(paper: str, model: Mapping, result: Mapping, *, unique: bool) -> Row:
    where = f"{paper}: model {model.get('Name', '?')!r}"
    name = _field(model, "Name", where)
    dataset = _field(result, "Dataset", where)
    where = f"{where}, result on {dataset!r}"
    facts = model.get("Metadata") or {}
    data = result.get("Data", ())
    metrics = _metrics(result, where)
    return Row(
        paper=paper,
        collection=model.get("In Collection", paper),
        name=name if unique else f"{name}@{dataset.lower().replace(' ', '-')}",
        config=_field(model, "Config", where),
        task=_field(result, "Task", where),
        dataset=dataset,
        metrics=metrics,
        source=_field(result, "Source", where),
        data=(data,) if isinstance(data, str) else tuple(data or ()),
        cost=result.get("Cost", "unknown"),
        needs=result.get("Needs", ""),
        seeds=tuple(result.get("Seeds", DEFAULT_SEEDS if metrics else DEFAULT_SEEDS[:1])),
        unverified=bool(result.get("Unverified", False)),
        parameters=facts.get("Parameters"),
        official_keys=facts.get("Official Keys", ""),
        official_file=facts.get("Official Checkpoint", ""),
        gmacs=facts.get("FLOPs (G)"),
        input_shape=tuple(model.get("Input Shape", ())),
        weights=model.get("Weights", ""),
        weights_sha256=model.get("Weights SHA256", ""),
        weights_licence=model.get("Weights Licence", ""),
    )


def _metrics(result: Mapping, where: str) -> tuple[Metric, ...]:
    if result.get("Metrics") == {}:
        return ()
    tolerances = _field(result, "Tolerance", where)
    keys = _field(result, "Measured By", where)
    better = _field(result, "Better", where)
    metrics = []
    for name, reported in _field(result, "Metrics", where).items():
        for field, values in (("Tolerance", tolerances), ("Measured By", keys)):
            if name not in values:
                raise MetafileError(f"{where}: {field!r} says nothing about {name!r}")
        key = keys[name] if isinstance(keys[name], Mapping) else {"Key": keys[name]}
        direction = better[name] if isinstance(better, Mapping) else better
        if direction not in ("lower", "higher"):
            raise MetafileError(f"{where}: 'Better' must be lower or higher, not {direction!r}")
        metrics.append(
            Metric(name, float(reported), float(tolerances[name]), key["Key"], float(key.get("Scale", 1)), direction)
        )
    return tuple(metrics)


def _field(node: Mapping, field: str, where: str) -> object:
    if node.get(field) in (None, "", {}):
        raise MetafileError(f"{where}: the field {field!r} is missing")
    return node[field]
