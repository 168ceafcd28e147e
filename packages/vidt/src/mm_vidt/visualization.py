"""Drawings of detections with masks and of their making: levels, attention of [DET] tokens, coefficients of masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from mmdet.structures import DetDataSample

from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.trace import Trace, best
from mmrepro.detection.panels import COLOURS, box, class_name, panels, show, tag
from mmrepro.figures import write_figure

COUNTS = (16, 64, 256)  # coefficients of a mask
OPACITY = 0.45  # of masks
MARGIN = 0.25  # of a box, around it
ABOVE_TAGS = 12  # points below a title: tags of boxes at the upper edge stick out


@dataclass(frozen=True)
class Objects:
    """What is in a picture, annotated or predicted.

    Attributes:
        boxes: ``(N, 4)`` as (x1, y1, x2, y2) in pixels.
        labels: ``(N,)``.
        scores: ``(N,)`` in [0, 1]; None of annotations.
        masks: ``(N, H, W)`` bool; None without masks.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: np.ndarray | None = None

    @classmethod
    def predicted(cls, sample: DetDataSample) -> Objects:
        """Return the detections of a sample."""
        found = sample.pred_instances.cpu().numpy()
        return cls(found.bboxes, found.labels, found.scores, found.get("masks"))


def draw_objects(
    picture: np.ndarray,
    objects: Mapping[str, Objects],
    path: str | Path,
    threshold: float = 0.3,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw boxes and masks, a colour for each class; write a PNG.

    Of predictions those with a score of at least ``threshold``. One that overlaps a better one of its class is thin and
    has neither mask nor label.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        objects: what a panel is called and shows, such as ``{"annotated": ..., "predicted": ...}``.
        path: the file to write, whole or not at all.
        threshold: of the scores.
        classes: names, for the labels.
    """
    figure, axes = panels(picture, len(objects), side=5.0)
    for axis, (name, some) in zip(axes, objects.items(), strict=True):
        title = _draw_objects(axis, picture, name, some, threshold, classes)
        axis.set_title(title, fontsize=10, pad=ABOVE_TAGS)
    return write_figure(figure, path)


def draw_refinement(
    picture: np.ndarray,
    trace: Trace,
    path: str | Path,
    threshold: float = 0.3,
    limit: int = 8,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw the boxes of detections at each level, with the score that it gives them; write a PNG.

    A dotted box is that of the level before.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        path: the file to write, whole or not at all.
        threshold, limit: of the detections, see :meth:`Trace.best`.
        classes: names, for the labels of the last level.
    """
    chosen, levels = trace.best(threshold, limit), len(trace.boxes)
    figure, axes = panels(picture, levels, columns=4 if levels > 6 else 3, side=3.4)
    for level, axis in enumerate(axes):
        made = f"after decoder layer {level}" if level else "the body alone"
        axis.set_title(f"level {level}: {made}", fontsize=10, pad=ABOVE_TAGS)
        for place, detection in reversed(list(enumerate(chosen))):  # the best on top
            colour, corners = COLOURS[place % len(COLOURS)], trace.boxes[level, detection]
            if level:
                box(axis, trace.boxes[level - 1, detection], colour, 1.0, ":")
            box(axis, corners, colour, 2.0)
        for place, detection in reversed(list(enumerate(chosen))):
            name = f"{class_name(int(trace.labels[detection]), classes)} " if level + 1 == levels else ""
            text = f"{name}{trace.scores[level, detection]:.2f}"
            tag(axis, *trace.boxes[level, detection, :2], text, COLOURS[place % len(COLOURS)], 7)
    figure.suptitle("boxes and scores of the detections at each level; dotted: one level before", fontsize=11)
    return write_figure(figure, path)


def draw_attention(
    picture: np.ndarray,
    trace: Trace,
    path: str | Path,
    detection: int = 0,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw how much a detection's [DET] token attends to each patch, in blocks of the cross stages; write a PNG.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        path: the file to write, whole or not at all.
        detection: which one, in the order of the detections.
        classes: names, for the title.

    Raises:
        IndexError: there is no such detection.
        ValueError: the body has no cross stage.
    """
    trace.check(detection)
    if not trace.attention:
        raise ValueError("this body has no cross stage, so its tokens attend to no patch")
    figure, axes = panels(picture, len(trace.attention) + 1, columns=3 if len(trace.attention) < 3 else 5)
    axes[0].set_title(_label(trace.labels[detection], trace.scores[-1, detection], classes), fontsize=10)
    height, width = picture.shape[:2]
    grey = picture.mean(2).astype(np.uint8)[..., None].repeat(3, 2)
    for axis, one in zip(axes[1:], trace.attention, strict=True):
        weights = one.weights[detection]
        axis.clear()
        show(axis, grey)
        right, bottom = one.covered
        extent = (-0.5, right - 0.5, bottom - 0.5, -0.5)
        heat = axis.imshow(weights, extent=extent, cmap="inferno", vmin=0, alpha=0.65, interpolation="nearest")
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylim(height - 0.5, -0.5)
        axis.set_title(f"stage {one.stage + 1}, block {one.block + 1}: {weights.sum():.0%} on patches", fontsize=10)
        scale = figure.colorbar(heat, ax=axis, shrink=0.8, pad=0.01, format=PercentFormatter(1.0))
        scale.ax.tick_params(labelsize=7)
    for axis in axes:
        box(axis, trace.boxes[-1, detection], COLOURS[0] if axis is axes[0] else "white", 2.0)
    figure.suptitle(
        "attention of the detection's [DET] token to each patch, mean over the heads; the rest goes to [DET] tokens",
        fontsize=11,
    )
    return write_figure(figure, path)


def draw_coefficients(
    picture: np.ndarray,
    trace: Trace,
    coder: DCTMaskCoder,
    path: str | Path,
    detection: int = 0,
    counts: Sequence[int] = COUNTS,
    classes: Sequence[str] | None = None,
) -> Path:
    """Draw a detection's mask from its first coefficients, and from all; write a PNG.

    Above, what they are decoded to; below, the mask in the picture, cut out around the box.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        coder: of the detector's masks, ``model.bbox_head.criterion.mask_coder``.
        path: the file to write, whole or not at all.
        detection: which one, in the order of the detections.
        counts: numbers of coefficients; those that the detector has not are left out, all are always shown.
        classes: names, for the title.

    Raises:
        IndexError: there is no such detection.
        ValueError: the detector gives no masks.
    """
    trace.check(detection)
    if trace.vectors is None:
        raise ValueError("this detector gives no masks, so there are no coefficients to draw")
    device = coder.dct.device
    vector = torch.from_numpy(trace.vectors[detection]).to(device)
    shown = [*(count for count in sorted(counts) if count < len(vector)), len(vector)]
    vectors = torch.stack([vector * (torch.arange(len(vector), device=device) < count) for count in shown])
    corners = torch.from_numpy(trace.boxes[-1, detection]).to(device)
    maps = coder.decode(vectors).cpu().numpy()
    masks = coder.masks(vectors, corners.expand(len(shown), 4), *picture.shape[:2]).cpu().numpy()
    region = _around(trace.boxes[-1, detection], picture.shape[:2])
    figure, axes = panels(picture, 2 * len(shown) + 2, columns=len(shown) + 1, side=2.6)
    figure.set_size_inches(2.6 * (len(shown) + 1), 6.0)
    above, below = axes[: len(shown) + 1], axes[len(shown) + 1 :]
    box(above[0], corners.tolist(), COLOURS[0], 2.0)
    above[0].set_title(_label(trace.labels[detection], trace.scores[-1, detection], classes), fontsize=10)
    below[0].set_title("cut out around its box", fontsize=9)
    _zoom(below[0], region)
    limits = maps[-1].min(), maps[-1].max()
    for axis, count, one in zip(above[1:], shown, maps, strict=True):
        axis.clear()
        axis.imshow(one, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(f"{'all ' if count == len(vector) else ''}{count} coefficients", fontsize=10)
    for axis, mask in zip(below[1:], masks, strict=True):
        _lay_over(axis, mask, COLOURS[0])
        _zoom(axis, region)
        same = (mask & masks[-1]).sum() / max((mask | masks[-1]).sum(), 1)
        title = f"mask, IoU {same:.2f} with that of all" if axis is not below[-1] else "mask of the detection"
        axis.set_title(title, fontsize=9)
    return write_figure(figure, path)


def _draw_objects(
    axis: Axes, picture: np.ndarray, name: str, some: Objects, threshold: float, classes: Sequence[str] | None
) -> str:
    """Draw objects and return the panel's title."""
    count = len(some.labels)
    shown = first = np.arange(count)
    if some.scores is not None:
        shown = np.flatnonzero(some.scores >= threshold)
        first = best(some.boxes, some.scores, some.labels, threshold) if len(shown) else shown
        name += f": {len(shown)} with a score of at least {threshold:g}"
        name += "; thin: overlaps a better one" if len(first) < len(shown) else ""
    colours = [COLOURS[int(label) % len(COLOURS)] for label in some.labels]
    for number in first if some.masks is not None else ():
        _lay_over(axis, some.masks[number], colours[number])
    for number in shown:
        box(axis, some.boxes[number], colours[number], 2.0 if number in first else 0.6)
    for number in reversed(first):  # the best on top
        text = class_name(int(some.labels[number]), classes)
        text += "" if some.scores is None else f" {some.scores[number]:.2f}"
        tag(axis, *some.boxes[number, :2], text, colours[number], 7)
    return name


def _lay_over(axis: Axes, mask: np.ndarray, colour: str) -> None:
    """Lay a mask over the picture, with its outline."""
    layer = np.zeros((*mask.shape, 4))
    layer[mask] = (*(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)), OPACITY)
    axis.imshow(layer, interpolation="nearest")
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)


def _around(corners: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the part of a picture around a box, as (x1, y1, x2, y2)."""
    height, width = size
    left, top, right, bottom = corners
    x, y = MARGIN * (right - left) + 2, MARGIN * (bottom - top) + 2
    return max(left - x, 0), max(top - y, 0), min(right + x, width), min(bottom + y, height)


def _zoom(axis: Axes, region: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = region
    axis.set_xlim(left - 0.5, right - 0.5)
    axis.set_ylim(bottom - 0.5, top - 0.5)


def _label(label: int, score: float, classes: Sequence[str] | None) -> str:
    return f"{class_name(int(label), classes)} {score:.2f}"
