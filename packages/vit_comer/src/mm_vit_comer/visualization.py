"""Drawings: label maps over pictures, legends, feature maps as colours, and the points of deformable attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from mm_vit_comer.feature_maps import LEVEL_STRIDES, FeatureTrace, Samples, Stage, principal_colours
from mmrepro.figures import write_figure

LEVEL_COLOURS = ("#e8a33d", "#d1495b", "#00798c")  # strides 8, 16 and 32
NOTHING = (0, 0, 0)  # of pixels without a class
MOST_NAMES = 24  # in a legend
LARGEST_DOT = 120.0  # square points, of the largest weight


def overlay(
    picture: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]], opacity: float = 0.5
) -> np.ndarray:
    """Return a picture with the colours of its labels laid over it, ``(H, W, 3)`` uint8.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        labels: ``(H, W)``, places in the palette; others leave the picture dark.
        palette: RGB of each class.
        opacity: of the colours, 0 to 1.
    """
    colours = np.array([*palette, NOTHING], np.float32)
    known = np.where((labels >= 0) & (labels < len(palette)), labels, len(palette))
    return ((1 - opacity) * picture + opacity * colours[known]).round().astype(np.uint8)


def with_legend(
    picture: np.ndarray, labels: np.ndarray, classes: Sequence[str], palette: Sequence[Sequence[int]]
) -> np.ndarray:
    """Return a picture with a strip at its right that names the classes in it, the largest first, ``(H', W', 3)``.

    Args:
        picture: RGB ``(H, W, 3)`` uint8, such as an overlay.
        labels: ``(H, W)``.
        classes: names.
        palette: RGB of each.
    """
    numbers, counts = np.unique(labels[(labels >= 0) & (labels < len(classes))], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = [f"{classes[numbers[k]]}  {counts[k] / labels.size:.1%}" for k in order]
    return beside_lines(picture, [(palette[numbers[k]], text) for k, text in zip(order, shares, strict=True)])


def beside_lines(picture: np.ndarray, lines: Sequence[tuple[Sequence[int] | None, str]]) -> np.ndarray:
    """Return a picture with a strip at its right of coloured squares and what they mean, ``(H', W', 3)``.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        lines: colour, None for no square, and text; what is beyond :data:`MOST_NAMES` is counted.
    """
    if len(lines) > MOST_NAMES:
        lines = [*lines[:MOST_NAMES], (None, f"... and {len(lines) - MOST_NAMES} more")]
    size = int(np.clip(picture.shape[0] / 24, 11, 28))
    font = ImageFont.load_default(size)
    height = max(picture.shape[0], (len(lines) + 1) * size * 3 // 2)
    widest = max((int(font.getlength(text)) for _, text in lines), default=0)
    sheet = Image.new("RGB", (picture.shape[1] + widest + 4 * size, height), "white")
    sheet.paste(Image.fromarray(picture))
    draw, left = ImageDraw.Draw(sheet), picture.shape[1] + size
    for row, (colour, text) in enumerate(lines):
        top = size // 2 + row * size * 3 // 2
        if colour is not None:
            draw.rectangle((left, top, left + size, top + size), fill=tuple(colour), outline="black")
        draw.text((left + size * 3 // 2, top), text, fill="black", font=font)
    return np.asarray(sheet)


def draw_feature_maps(picture: np.ndarray, trace: FeatureTrace, path: str | Path) -> Path:
    """Draw the maps of the trunk alone above those with the interaction, as colours of their PCA; write a PNG.

    Each map has its own components: colours say which places are alike, and nothing else.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        path: the file to write, whole or not at all.
    """
    figure, axes = _grid(picture, 2, 1 + len(trace.strides))
    for row, (name, maps) in enumerate((("plain ViT", trace.plain), ("ViT-CoMer", trace.with_interaction))):
        _show(axes[row][0], picture, name)
        for axis, stride, one in zip(axes[row][1:], trace.strides, maps, strict=True):
            _show_map(axis, principal_colours(one), stride, trace.size, f"stride {stride}")
    figure.suptitle(
        "feature maps of the same weights, without and with interaction: first three principal components", fontsize=11
    )
    return write_figure(figure, path)


def draw_interactions(picture: np.ndarray, trace: FeatureTrace, path: str | Path) -> Path:
    """Draw the convolutional tokens at each stride before and after each interaction; write a PNG.

    Each map has its own components: colours say which places are alike, and nothing else.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        trace: of the same picture.
        path: the file to write, whole or not at all.
    """
    figure, axes = _grid(picture, len(trace.before), 1 + 2 * len(LEVEL_STRIDES))
    for number, (before, after) in enumerate(zip(trace.before, trace.after, strict=True)):
        _show(axes[number][0], picture, f"interaction {number + 1}")
        for level, stride in enumerate(LEVEL_STRIDES):
            for place, maps, title in ((1, before, f"stride {stride}, before"), (2, after, "after")):
                axis = axes[number][place + 2 * level]
                _show_map(axis, principal_colours(maps[level]), stride, trace.size, title)
    figure.suptitle("tokens of the convolutional branch: first three principal components", fontsize=11)
    return write_figure(figure, path)


def draw_samples(
    picture: np.ndarray,
    trace: FeatureTrace,
    path: str | Path,
    place: tuple[float, float] | None = None,
    interaction: int = 0,
    stage: Stage = "to_c",
) -> Path:
    """Draw where the attention of a query looks, a panel for the query of each level; write a PNG.

    A dot is as large as its weight and has the colour of the level that it reads. Dots outside the picture read zeros.

    Args:
        picture: RGB ``(H, W, 3)`` uint8, which the trace may have seen in another size.
        trace: of the same picture.
        path: the file to write, whole or not at all.
        place: (x, y) in pixels of the picture; None for its centre.
        interaction, stage: which attention, see :meth:`FeatureTrace.samples`.

    Raises:
        IndexError: there is no such place or attention.
    """
    height, width = picture.shape[:2]
    x, y = place or (width / 2, height / 2)
    scale = np.array([trace.size[1] / width, trace.size[0] / height])  # of the traced image to the picture
    found = [
        trace.samples(x * scale[0], y * scale[1], level, interaction, stage) for level in range(len(LEVEL_STRIDES))
    ]
    figure, axes = _grid(picture, 1, len(found), side=4.2)
    largest = max(one.weights.max() for one in found)
    for axis, stride, one in zip(axes[0], LEVEL_STRIDES, found, strict=True):
        _show(axis, picture, f"query at stride {stride}")
        _dots(axis, one, scale, largest)
    handles, names = axes[0][-1].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=len(names), fontsize=9, frameon=False
    )
    when = "before" if stage == "to_v" else "after"
    figure.suptitle(
        f"points that the attention of interaction {interaction + 1} {when} the ViT's blocks reads", size=11
    )
    return write_figure(figure, path)


def _dots(axis: Axes, samples: Samples, scale: np.ndarray, largest: float) -> None:
    for colour, stride, points, weights in zip(
        LEVEL_COLOURS, LEVEL_STRIDES, samples.points / scale, samples.weights, strict=True
    ):
        sizes = LARGEST_DOT * weights / largest
        axis.scatter(*points.T, s=sizes, color=colour, alpha=0.75, lw=0, label=f"reads stride {stride}")
    axis.plot(*(np.array(samples.place) / scale), marker="+", ms=12, mew=2, color="white")


def _grid(picture: np.ndarray, rows: int, columns: int, side: float = 2.4) -> tuple[Figure, list[list[Axes]]]:
    height, width = picture.shape[:2]
    inches = (side * height / width + 0.3) * rows + 0.5
    figure = Figure(figsize=(side * columns + 0.2, inches))
    spaces = dict(left=0.01, right=0.99, bottom=0.02, top=1 - 0.6 / inches, wspace=0.04, hspace=0.15)
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=spaces).tolist()


def _show(axis: Axes, picture: np.ndarray, title: str) -> None:
    """Show a picture in its own frame: points may lie outside."""
    height, width = picture.shape[:2]
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)


def _show_map(axis: Axes, colours: np.ndarray, stride: int, size: tuple[int, int], title: str) -> None:
    """Show a map in the frame of its image: the last cells may reach beyond it."""
    rows, columns = colours.shape[:2]
    _show(axis, colours, title)
    axis.images[0].set_extent((-0.5, columns * stride - 0.5, rows * stride - 0.5, -0.5))
    axis.set_xlim(-0.5, size[1] - 0.5)
    axis.set_ylim(size[0] - 0.5, -0.5)
