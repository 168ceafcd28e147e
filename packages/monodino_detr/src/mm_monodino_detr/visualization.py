"""Drawings of 3D detections: 2D boxes and cuboids in the picture, a view from above, and maps of depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator
from mmdet.structures import DetDataSample

from mm_monodino_detr.cuboids import EDGES, FRONT, LOWER, cuboid_corners, cut_polygon, cut_segments
from mm_monodino_detr.datasets.kitti_calibration import KittiCalibration
from mm_monodino_detr.evaluation.kitti_files import DONT_CARE, KittiObjects
from mmrepro.detection.panels import box, class_name, show, tag
from mmrepro.figures import write_figure

REACH = 70.0
"""Metres that a view from above shows at most, unless it is told otherwise; KITTI's labels end about there."""

_COLOURS = ListedColormap(colormaps["turbo"](np.linspace(0.95, 0.08, 256)))  # near is red; neither end is black
_DEPTHS = colormaps["magma_r"]
_WIDTH, _HEIGHT = 9.0, 5.0  # inches of a picture, at most
_LETTER = 0.062  # inches of a letter of a tag, about
_ABOVE_TAGS = 12  # points below a title: tags of boxes at the upper edge stick out
_DARK = "#1d252c"
_DASHED = (0, (3, 1.5))
_LEAST, _STEP = 20.0, 10.0  # metres of a view from above: the least, and what it grows by


@dataclass(frozen=True)
class Objects3D:
    """Objects of a picture, annotated or predicted.

    Attributes:
        names: N classes.
        boxes: ``(N, 4)`` as (x1, y1, x2, y2) in pixels.
        boxes_3d: ``(N, 7)`` h, w, l, x, y, z, rotation_y: metres, the middle of the lower face, radians.
        scores: ``(N,)``; None of annotations.
        ignored: ``(M, 4)`` regions in pixels in which nobody minds what is found (KITTI's DontCare).
    """

    names: Sequence[str]
    boxes: np.ndarray
    boxes_3d: np.ndarray
    scores: np.ndarray | None = None
    ignored: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))

    @classmethod
    def predicted(cls, sample: DetDataSample, classes: Sequence[str] | None = None) -> Objects3D:
        """Return the detections of a sample.

        Args:
            sample: with ``labels``, ``scores``, ``bboxes`` and ``bboxes_3d`` in ``pred_instances``.
            classes: the name of each label.
        """
        found = sample.pred_instances.cpu().numpy()
        names = [class_name(int(label), classes) for label in found.labels]
        return cls(names, found.bboxes, found.bboxes_3d, found.scores)

    @classmethod
    def annotated(cls, objects: KittiObjects) -> Objects3D:
        """Return what a label file holds."""
        nobody = np.char.lower(objects.names.astype(str)) == DONT_CARE
        kept = ~nobody
        return cls(
            objects.names[kept].tolist(), objects.boxes[kept], objects.boxes_3d[kept], ignored=objects.boxes[nobody]
        )

    def above(self, threshold: float) -> Objects3D:
        """Return those with a score of at least ``threshold``, the best first; annotations as they are."""
        if self.scores is None:
            return self
        kept = [number for number in np.argsort(-self.scores, kind="stable") if self.scores[number] >= threshold]
        names = [self.names[number] for number in kept]
        return Objects3D(names, self.boxes[kept], self.boxes_3d[kept], self.scores[kept], self.ignored)


def draw_scene(
    picture: np.ndarray,
    calibration: KittiCalibration | None,
    objects: Mapping[str, Objects3D],
    path: str | Path,
    threshold: float = 0.2,
    reach: float = REACH,
) -> Path:
    """Draw objects in the picture and from above; write a PNG. See :func:`scene`."""
    return write_figure(scene(picture, calibration, objects, threshold, reach), path)


def scene(
    picture: np.ndarray,
    calibration: KittiCalibration | None,
    objects: Mapping[str, Objects3D],
    threshold: float = 0.2,
    reach: float = REACH,
) -> Figure:
    """Return a figure with a picture for each group of objects, and one view from above with all of them.

    Colours tell the distance. In the picture thin rectangles are 2D boxes, cuboids the 3D ones, with their front filled
    and what lies behind the camera cut off; dotted are the regions that nobody minds. From above, a line leads from
    each object's middle to its front, and beside predictions annotations are dashed. That view ends behind the farthest
    object.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        calibration: its camera; without one there are only 2D boxes, and no view from above.
        objects: what a panel is called and shows, such as ``{"annotated": ..., "predicted": ...}``.
        threshold: of the scores.
        reach: metres that the view from above shows at most, and where the colours end.
    """
    shown = {name: some.above(threshold) for name, some in objects.items()}
    height, width = picture.shape[:2]
    wide, tall = _inches(height, width)
    side = 4.0 if calibration is not None else 0.0
    figure = Figure(
        figsize=(wide + side + 0.4, max((tall + 0.35) * len(shown), side * 1.2) + 0.3), layout="constrained"
    )
    pictures = figure
    if calibration is not None:
        pictures, above = figure.subfigures(1, 2, width_ratios=(wide, side))
        _draw_above(above.subplots(), shown, calibration, width, reach)
    axes = pictures.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axis, (name, some) in zip(axes, shown.items(), strict=True):
        show(axis, picture)
        _draw_in_picture(axis, (height, width), some, calibration, reach)
        title = name if some.scores is None else f"{name}: {len(some.names)} with a score of at least {threshold:g}"
        axis.set_title(title, fontsize=10, pad=_ABOVE_TAGS)
    return figure


def draw_depth_maps(
    picture: np.ndarray,
    relative: np.ndarray,
    metric: np.ndarray,
    covered: Sequence[float],
    path: str | Path,
) -> Path:
    """Draw a picture, the relative depth that the network starts from, and the depth in metres that it predicts.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        relative: relative inverse depth, without unit, ``(h, w)``.
        metric: in metres, ``(h, w)``.
        covered: left, top, right and bottom of the part of the picture that the maps cover, in its pixels; it may stick
            out.
        path: the PNG to write, whole or not at all.
    """
    height, width = picture.shape[:2]
    wide, tall = _inches(height, width)
    figure = Figure(figsize=(1.5 * wide, 0.75 * tall + 1.1), layout="constrained")
    left, top, right, bottom = covered
    grid = figure.add_gridspec(1, 2)
    for place, (values, colours, name) in enumerate(
        [
            (relative, "magma", "relative inverse depth of the depth head, without unit"),
            (metric, _DEPTHS, "expected depth of the depth predictor in metres"),
        ]
    ):
        axis = figure.add_subplot(grid[0, place])
        show(axis, picture.mean(2).astype(np.uint8)[..., None].repeat(3, 2))
        extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
        drawn = axis.imshow(values, extent=extent, cmap=colours, alpha=0.8, interpolation="nearest")
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylim(height - 0.5, -0.5)
        axis.set_title(name, fontsize=10)
        scale = figure.colorbar(drawn, ax=axis, location="bottom", shrink=0.9, pad=0.02, aspect=40)
        scale.ax.tick_params(labelsize=8)
    return write_figure(figure, path)


def _inches(height: int, width: int) -> tuple[float, float]:
    """Return how wide and how tall a picture is drawn."""
    wide = min(_WIDTH, _HEIGHT * width / height)
    return wide, wide * height / width


def rendered(figure: Figure, dpi: int = 110) -> np.ndarray:
    """Return a figure as RGB ``(H, W, 3)`` uint8."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_in_picture(
    axis: Axes, size: tuple[int, int], some: Objects3D, calibration: KittiCalibration | None, reach: float
) -> None:
    """Draw objects over a picture of a size, (H, W)."""
    height, width = size
    for region in some.ignored:
        box(axis, region, "white", 1.0, ":")
    order = np.argsort(-some.boxes_3d[:, 5])  # the nearest on top
    for number in order:
        colour = _colour(some.boxes_3d[number, 5], reach)
        if calibration is None:
            box(axis, some.boxes[number], colour, 1.8)
            continue
        box(axis, some.boxes[number], colour, 0.7)
        corners = cuboid_corners(some.boxes_3d[number : number + 1])[0]
        front = cut_polygon(corners[list(FRONT)])
        if len(front):
            axis.add_patch(Polygon(calibration.project(front), facecolor=colour, alpha=0.3, linewidth=0))
        small = some.boxes[number, 3] - some.boxes[number, 1] < 0.15 * height
        thick = 1.0 if small else 1.6
        stroke = [withStroke(linewidth=thick + 0.7, foreground=_DARK)]  # seen on bright and on dark ground
        for segment in cut_segments(corners[np.array(EDGES)]):
            axis.plot(*calibration.project(segment).T, color=colour, linewidth=thick, path_effects=stroke)
    for number in order:
        text = some.names[number]
        text += "" if some.scores is None else f" {some.scores[number]:.2f}"
        text += "" if calibration is None else f", {some.boxes_3d[number, 5]:.0f} m"
        left, top = some.boxes[number, :2]
        last = width * (1 - _LETTER / _inches(height, width)[0] * len(text))  # where the text ends with the picture
        tag(axis, min(left, last), top, text, _dark(_colour(some.boxes_3d[number, 5], reach)), 7)


def _draw_above(
    axis: Axes, objects: Mapping[str, Objects3D], calibration: KittiCalibration, width: int, reach: float
) -> None:
    """Draw what a camera of pictures of some width sees, from above."""
    end, aside = _extent([some.boxes_3d for some in objects.values()], reach)
    edges = np.tan(calibration.viewing_angle(np.array([-0.5, width - 0.5]))) * end
    axis.add_patch(Polygon([(0, 0), (edges[0], end), (edges[1], end)], facecolor="#eef2f5", zorder=0))
    angles, step = np.linspace(-np.pi / 2, np.pi / 2, 90), _STEP if end > _LEAST else _STEP / 2
    for distance in np.arange(step, 2 * end, step):
        axis.plot(distance * np.sin(angles), distance * np.cos(angles), color="#c4ccd3", linewidth=0.6, zorder=1)
    dashed = [name for name, some in objects.items() if some.scores is None and len(objects) > 1]
    for name, some in objects.items():
        for number in np.argsort(-some.boxes_3d[:, 5]):
            lower = cuboid_corners(some.boxes_3d[number : number + 1])[0][list(LOWER)][:, [0, 2]]
            style = dict(color=_colour(some.boxes_3d[number, 5], reach), linewidth=2.0, zorder=2)
            if name in dashed:
                style = dict(color=_DARK, linewidth=1.0, linestyle=_DASHED, zorder=3)
            axis.add_patch(Polygon(lower, fill=False, **style))
            axis.plot(*np.stack([lower.mean(0), lower[:2].mean(0)]).T, **style)
    axis.set(xlim=(-aside, aside), ylim=(0, end), aspect="equal", xlabel="to the right, m", ylabel="ahead, m")
    axis.tick_params(labelsize=8)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MultipleLocator(step))
    axis.set_title(", ".join(["from above", *(f"dashed: {name}" for name in dashed)]), fontsize=10)
    scale = axis.figure.colorbar(
        ScalarMappable(Normalize(0, reach), _COLOURS),
        ax=axis,
        location="bottom",
        shrink=0.9,
        pad=0.02,
        aspect=30,
        panchor=False,
    )
    scale.set_label("depth of a box, m", fontsize=8)
    scale.ax.tick_params(labelsize=8)


def _extent(boxes_3d: Sequence[np.ndarray], reach: float) -> tuple[float, float]:
    """Return how far ahead and aside a view from above reaches in metres: behind all objects that are not too far."""
    points = np.concatenate([cuboid_corners(each)[..., [0, 2]].reshape(-1, 2) for each in boxes_3d])
    farthest = points[:, 1].max(initial=0.0)
    end = min(max(_LEAST, _STEP * math.ceil(min(farthest, reach) / _STEP)), max(reach, _LEAST))
    aside = np.abs(points[points[:, 1] <= end, 0]).max(initial=0.0)
    return end, min(max(end / 2, aside + 1), end)


def _colour(depth: float, reach: float) -> tuple[float, ...]:
    return _COLOURS(float(np.clip(depth / reach, 0, 1)))


def _dark(colour: Sequence[float]) -> tuple[float, ...]:
    """Return a colour on which white can be read."""
    return tuple(0.62 * part for part in colour[:3])
