"""Drawings of detections and of how the decoder works: relations between boxes, by head, and their refinement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mm_relation_detr.trace import Trace, ious
from mmrepro.detection.panels import COLOURS, box, class_name, panels, show, tag
from mmrepro.figures import write_figure

QUERY_COLOUR = "#d1495b"
KEY_COLOUR = "#00798c"
TRUTH_COLOUR = "white"
THICKEST = 5.0  # points, of the line with the largest bias
OVERLAP = 0.5  # IoU above which of two boxes only the better one is drawn: they show one object


def draw_detections(
    picture: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    path: str | Path,
    threshold: float = 0.3,
    classes: Sequence[str] | None = None,
    truth: np.ndarray | None = None,
) -> Path:
    """Draw the boxes with a score of at least ``threshold``, a colour for each class; write a PNG.

    A box that overlaps a better one of its class is thin and has no label.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        boxes: ``(N, 4)`` as corners in pixels, with scores ``(N,)`` and labels ``(N,)``.
        scores, labels: of the boxes.
        path: the file to write, whole or not at all.
        threshold: of the scores.
        classes: names, for the labels.
        truth: ``(M, 4)``, annotated boxes, drawn dashed.
    """
    figure, (axis,) = panels(picture, 1)
    for corners in () if truth is None else truth:
        box(axis, corners, TRUTH_COLOUR, 1.2, linestyle="--")
    shown = [number for number in np.argsort(-scores, kind="stable") if scores[number] >= threshold]
    first: list[int] = []  # of each object
    for number in shown:
        better = [one for one in first if labels[one] == labels[number]]
        if not better or ious(boxes[number], boxes[better]).max() <= OVERLAP:
            first.append(number)
    for number in reversed(shown):  # the best on top
        colour = COLOURS[int(labels[number]) % len(COLOURS)]
        box(axis, boxes[number], colour, 2.5 if number in first else 0.7)
        if number in first:
            text = f"{class_name(int(labels[number]), classes)} {scores[number]:.2f}"
            tag(axis, *boxes[number, :2], text, colour)
    also = "" if len(first) == len(shown) else "; thin: overlaps a better one"
    dashed = "" if truth is None else "; dashed: annotated"
    figure.suptitle(f"{len(shown)} detections with a score of at least {threshold:g}{also}{dashed}", fontsize=10)
    return write_figure(figure, path)


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
    no line. Keys are the best box of each object.

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
    among = trace.best(threshold, overlap=OVERLAP)
    found = {layer: trace.strongest_keys(layer, query, among, top) for layer in layers}
    largest = max((bias.max() for _, bias in found.values() if len(bias)), default=0.0)
    figure, axes = panels(picture, len(layers))
    for layer, axis in zip(layers, axes, strict=True):
        axis.set_title(f"layer {layer + 1}", fontsize=10)
        boxes = trace.boxes[layer - 1]  # what the bias was computed for
        x, y = _centre(boxes[query])
        for key, bias in zip(*found[layer], strict=True):
            box(axis, boxes[key], KEY_COLOUR, 1.0)
            if bias > 0:
                u, v = _centre(boxes[key])
                axis.plot([x, u], [y, v], color=KEY_COLOUR, linewidth=THICKEST * bias / largest, alpha=0.7)
                axis.text(
                    u, v, f"{bias:.2f}", color="white", fontsize=7, bbox=dict(facecolor=KEY_COLOUR, pad=0.5, lw=0)
                )
        box(axis, boxes[query], QUERY_COLOUR, 2.0)
    figure.suptitle(
        f"{_name(trace, query, classes)}, in red: the boxes whose relation bias is largest.\n"
        "Number and thickness: what is added to the attention before the softmax, mean over the heads",
        fontsize=10,
    )
    return write_figure(figure, path)


def draw_head_biases(
    picture: np.ndarray,
    trace: Trace,
    path: str | Path,
    layer: int | None = None,
    threshold: float = 0.3,
    limit: int = 12,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw the relation bias of each head between numbered boxes as a heat map, on one scale; write a PNG.

    The boxes are the best one of each object, beside the maps as they were before that layer.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
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
    chosen = trace.best(threshold, limit, OVERLAP)
    biases = trace.relations[layer - 1][:, chosen][:, :, chosen]  # (heads, n, n)
    columns = min(4, len(biases))
    rows = -(-len(biases) // columns)
    figure = Figure(figsize=(2 * columns + 6.5, 2.3 * rows + 0.6), layout="constrained")
    grid = figure.add_gridspec(rows, columns + 2)
    _numbered_boxes(figure.add_subplot(grid[:, :2]), picture, trace.boxes[layer - 1], trace, chosen, classes)
    axes = [figure.add_subplot(grid[place // columns, 2 + place % columns]) for place in range(len(biases))]
    numbers = [str(place + 1) for place in range(len(chosen))]
    for head, (axis, bias) in enumerate(zip(axes, biases, strict=True)):
        shown = axis.imshow(bias, vmin=0, vmax=max(biases.max(), 1e-6), cmap="magma", interpolation="nearest")
        axis.set_title(f"head {head + 1}", fontsize=10)
        axis.set_xticks(range(len(numbers)), numbers, fontsize=7)
        axis.set_yticks(range(len(numbers)), numbers, fontsize=7)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="added to the attention before the softmax")
    figure.suptitle(f"relation bias in layer {layer + 1}: rows are queries, columns keys", fontsize=11)
    return write_figure(figure, path)


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
        queries: which ones; None for the best one of each object.
        threshold, limit: of those.
        classes: names, for the labels.

    Raises:
        IndexError: there is no such query.
    """
    chosen = trace.best(threshold, limit, OVERLAP) if queries is None else np.asarray(queries)
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(trace.scores):
        raise IndexError(f"queries={chosen.tolist()}: they are 0 to {len(trace.scores) - 1}")
    colours = colormaps["plasma"](np.linspace(0.05, 0.95, len(trace.boxes)))
    figure, (axis,) = panels(picture, 1)
    for query in chosen:
        for colour, corners in zip(colours, trace.boxes[:, query], strict=True):
            box(axis, corners, colour, 1.2)
        way = np.array([_centre(corners) for corners in trace.boxes[:, query]])
        axis.plot(*way.T, color="white", linewidth=1)
        axis.scatter(*way.T, c=colours, s=14, zorder=3)
        left, top = trace.boxes[-1, query, :2]
        tag(axis, left, top, _label(trace, int(query), classes), "black")
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    names = [f"layer {layer + 1}" for layer in range(len(colours))]
    axis.legend(handles, names, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    figure.suptitle("each box after every layer, and the way of its centre", fontsize=10)
    return write_figure(figure, path)


def _numbered_boxes(
    axis: Axes,
    picture: np.ndarray,
    boxes: np.ndarray,
    trace: Trace,
    chosen: np.ndarray,
    classes: Sequence[str] | None,
) -> None:
    """Draw boxes ``(N, 4)`` with the numbers that chosen queries have in a heat map, and list their classes."""
    show(axis, picture)
    for place, query in enumerate(chosen, start=1):
        box(axis, boxes[query], KEY_COLOUR, 1.5)
        tag(axis, *boxes[query, :2], str(place), KEY_COLOUR)
    lines = [f"{place}  {_label(trace, int(query), classes)}" for place, query in enumerate(chosen, start=1)]
    axis.text(0, -0.03, "\n".join(lines), transform=axis.transAxes, fontsize=8, va="top")


def _layers_with_relation(trace: Trace) -> list[int]:
    if not len(trace.relations):
        raise ValueError("this detector uses no position relation, so there is none to draw")
    return list(range(1, len(trace.relations) + 1))


def _centre(box: np.ndarray) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _label(trace: Trace, query: int, classes: Sequence[str] | None) -> str:
    return f"{class_name(int(trace.labels[query]), classes)} {trace.scores[query]:.2f}"


def _name(trace: Trace, query: int, classes: Sequence[str] | None) -> str:
    return f"query {query} ({_label(trace, query, classes)})"
