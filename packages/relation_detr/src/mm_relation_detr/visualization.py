"""Drawings of how the decoder works: relations between boxes, what each head attends to, refinement over the layers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mm_relation_detr.trace import Trace
from mmrepro.engine.atomic_backend import write_atomically

QUERY_COLOUR = "#d1495b"
KEY_COLOUR = "#00798c"
THICKEST = 5.0  # points, of the line with the largest bias


def draw_relations(
    picture: np.ndarray,
    trace: Trace,
    path: str | Path,
    query: int | None = None,
    top: int = 5,
    threshold: float = 0.3,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw the keys that a query's relation bias favours most, a panel for each layer with a bias; write a PNG.

    A line is as thick as its bias, the mean over the heads; the number stands at its key. Where a bias is zero there is
    no line.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        path: the file to write, whole or not at all.
        query: which one; None for the one with the highest score.
        top: how many keys.
        threshold: keys are the queries with at least this score.
        classes: names, for the title.

    Raises:
        ValueError: the detector uses no relation.
        IndexError: there is no such query.
    """
    layers = _layers_with_relation(trace)
    query = int(trace.best()[0]) if query is None else query
    among = trace.best(threshold)
    found = {layer: trace.strongest_keys(layer, query, among, top) for layer in layers}
    largest = max((bias.max() for _, bias in found.values() if len(bias)), default=0.0)
    figure, panels = _panels(picture, len(layers))
    for layer, axis in zip(layers, panels, strict=True):
        axis.set_title(f"layer {layer + 1}", fontsize=10)
        boxes = trace.boxes[layer - 1]  # what the bias was computed for
        x, y = _centre(boxes[query])
        for key, bias in zip(*found[layer], strict=True):
            _box(axis, boxes[key], KEY_COLOUR, 1.0)
            if bias > 0:
                u, v = _centre(boxes[key])
                axis.plot([x, u], [y, v], color=KEY_COLOUR, linewidth=THICKEST * bias / largest, alpha=0.7)
                axis.text(
                    u, v, f"{bias:.2f}", color="white", fontsize=7, bbox=dict(facecolor=KEY_COLOUR, pad=0.5, lw=0)
                )
        _box(axis, boxes[query], QUERY_COLOUR, 2.0)
    figure.suptitle(f"{_name(trace, query, classes)}: keys with the largest relation bias", fontsize=11)
    return _write(figure, path)


def draw_head_biases(
    trace: Trace,
    path: str | Path,
    layer: int | None = None,
    threshold: float = 0.3,
    limit: int = 30,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw the relation bias of each head between the best queries as a heat map, on one scale; write a PNG.

    Args:
        trace: of a picture.
        path: the file to write, whole or not at all.
        layer: counted from 0; None for the last one.
        threshold: of the queries' scores.
        limit: how many queries at most.
        classes: names, for the axes.

    Raises:
        ValueError: the detector uses no relation.
        IndexError: that layer has none.
    """
    layers = _layers_with_relation(trace)
    layer = layers[-1] if layer is None else layer
    if layer not in layers:
        raise IndexError(f"layer {layer} has no relation bias: those that have one are {layers[0]} to {layers[-1]}")
    chosen = trace.best(threshold, limit)
    biases = trace.relations[layer - 1][:, chosen][:, :, chosen]  # (heads, n, n)
    columns = min(4, len(biases))
    rows = -(-len(biases) // columns)
    figure = Figure(figsize=(3 * columns + 1, 3 * rows + 0.6), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(biases))]
    ticks = [_label(trace, query, classes) for query in chosen]
    for head, (axis, bias) in enumerate(zip(axes, biases, strict=True)):
        shown = axis.imshow(bias, vmin=0, vmax=max(biases.max(), 1e-6), cmap="magma", interpolation="nearest")
        axis.set_title(f"head {head + 1}", fontsize=10)
        axis.set_xticks(range(len(ticks)), ticks if len(ticks) <= 12 else [""] * len(ticks), rotation=90, fontsize=7)
        axis.set_yticks(range(len(ticks)), ticks if head % columns == 0 else [""] * len(ticks), fontsize=7)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="bias added to the attention")
    figure.suptitle(f"relation bias in layer {layer + 1}: rows are queries, columns keys", fontsize=11)
    return _write(figure, path)


def draw_refinement(
    picture: np.ndarray,
    trace: Trace,
    path: str | Path,
    queries: Sequence[int] | None = None,
    threshold: float = 0.3,
    limit: int = 8,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw the boxes of some queries after every layer, from dark to bright, and the way of their centres; write a PNG.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        path: the file to write, whole or not at all.
        queries: which ones; None for the best ones.
        threshold, limit: of those.
        classes: names, for the labels.

    Raises:
        IndexError: there is no such query.
    """
    chosen = trace.best(threshold, limit) if queries is None else np.asarray(queries)
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(trace.scores):
        raise IndexError(f"queries={chosen.tolist()}: they are 0 to {len(trace.scores) - 1}")
    colours = colormaps["plasma"](np.linspace(0.05, 0.95, len(trace.boxes)))
    figure, (axis,) = _panels(picture, 1)
    for query in chosen:
        for colour, box in zip(colours, trace.boxes[:, query], strict=True):
            _box(axis, box, colour, 1.2)
        way = np.array([_centre(box) for box in trace.boxes[:, query]])
        axis.plot(*way.T, color="white", linewidth=1)
        axis.scatter(*way.T, c=colours, s=14, zorder=3)
        left, top = trace.boxes[-1, query, :2]
        text = dict(facecolor="black", alpha=0.6, pad=0.8, lw=0)
        axis.text(left, top, _label(trace, int(query), classes), color="white", fontsize=7, va="bottom", bbox=text)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    names = [f"layer {layer + 1}" for layer in range(len(colours))]
    axis.legend(handles, names, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    return _write(figure, path)


def _layers_with_relation(trace: Trace) -> list[int]:
    if not len(trace.relations):
        raise ValueError("this detector uses no position relation, so there is none to draw")
    return list(range(1, len(trace.relations) + 1))


def _panels(picture: np.ndarray, count: int) -> tuple[Figure, list[Axes]]:
    height, width = picture.shape[:2]
    columns = min(count, 3)
    rows = -(-count // columns)
    side = 4.0 if count > 1 else 7.0  # inches of a panel's width
    figure = Figure(figsize=(side * columns + 0.4, side * rows * height / width + 0.6), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axis in axes:
        axis.imshow(picture)
        axis.set_axis_off()
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylim(height - 0.5, -0.5)
    return figure, axes


def _box(axis: Axes, box: np.ndarray, colour: object, width: float) -> None:
    left, top, right, bottom = box
    axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width))


def _centre(box: np.ndarray) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _label(trace: Trace, query: int, classes: Sequence[str] | None) -> str:
    label = int(trace.labels[query])
    name = classes[label] if classes is not None and label < len(classes) else f"class {label}"
    return f"{name} {trace.scores[query]:.2f}"


def _name(trace: Trace, query: int, classes: Sequence[str] | None) -> str:
    return f"query {query} ({_label(trace, query, classes)})"


def _write(figure: Figure, path: str | Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png", bbox_inches="tight", pad_inches=0.08)
    write_atomically(content.getvalue(), path)
    return Path(path)
