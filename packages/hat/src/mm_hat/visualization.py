"""Crops side by side: low resolution, bicubic interpolation, ours and the truth (arXiv 2205.04437, figure 6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mm_hat.evaluation import luma, psnr, ssim, to_uint8, upscale_bicubic
from mm_hat.evaluation.bicubic import scale_between
from mmrepro.figures import write_figure

BOX_COLOURS = ("#d1495b", "#00798c", "#edae49", "#66a182")
ERROR_LEVELS = 40  # of the luma, at which the maps of errors are brightest
SMALLEST_SSIM = 11  # pixels that SSIM needs in each direction

Box = tuple[int, int, int]


def draw_crops(
    low: np.ndarray,
    restored: np.ndarray,
    path: str | Path,
    truth: np.ndarray | None = None,
    boxes: Sequence[Box] | None = None,
    size: int = 32,
    limit: int = 3,
) -> Path:
    """Draw a picture's crops and write a PNG, whole or not at all.

    One row for each crop: low resolution, bicubic interpolation, ours and, where it is known, the truth and the errors
    of both on the luma. With the truth, the titles have PSNR and SSIM of the whole picture on the luma without a border
    of ``scale`` pixels, as the tables.

    Args:
        low: RGB (h, w, 3) in [0, 1].
        restored: RGB (H, W, 3) in [0, 1], of sides a whole multiple of those of ``low``.
        path: the file to write.
        truth: RGB (H, W, 3) in [0, 1].
        boxes: ``(top, left, size)`` of each crop in pixels of ``low``; None for those of :func:`detailed_boxes`.
        size: side of a crop in pixels of ``low``; at most a third of the shorter side, so that several fit.
        limit: how many crops to draw at most.

    Raises:
        ValueError: the sizes do not fit together, or a box lies outside the picture.
    """
    small, ours = _tensor(low), to_uint8(_tensor(restored))
    scale = scale_between(small, ours)
    bicubic = upscale_bicubic(small, scale)
    real = None if truth is None else to_uint8(_tensor(truth))
    if real is not None and real.shape != ours.shape:
        raise ValueError(f"the truth has the shape {tuple(real.shape)}, the restored picture {tuple(ours.shape)}")
    size = max(min(size, min(low.shape[:2]) // 3), 1)
    boxes = detailed_boxes(low, size, limit) if boxes is None else list(boxes)
    for box in boxes:
        _require_inside(box, low.shape[:2])
    images = {f"low resolution (x{scale})": to_uint8(small), "bicubic": bicubic, "ours": ours}
    images |= {} if real is None else {"truth": real}
    titles = [name + (_values(images[name], real, scale) if name in ("bicubic", "ours") else "") for name in images]
    errors = [] if real is None else [(luma(image) - luma(real)).abs()[0] for image in (bicubic, ours)]
    return _draw(path, list(zip(titles, images.values(), strict=True)), errors, boxes, scale)


def detailed_boxes(low: np.ndarray, size: int, limit: int) -> list[Box]:
    """Return the squares with the most detail, the best first, none over another: ``(top, left, size)``.

    Detail is the mean slope between neighbouring pixels of the low-resolution picture: the choice does not know how any
    method fares there.

    Args:
        low: RGB (h, w, 3).
        size: side of a square, at most the picture's shorter side.
        limit: how many at most.
    """
    grey = low.mean(2)
    slope = np.zeros_like(grey, dtype=np.float64)
    slope[1:] += np.abs(np.diff(grey, axis=0))
    slope[:, 1:] += np.abs(np.diff(grey, axis=1))
    summed = np.pad(slope.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    detail = summed[size:, size:] - summed[:-size, size:] - summed[size:, :-size] + summed[:-size, :-size]
    boxes: list[Box] = []
    while len(boxes) < limit and np.isfinite(detail).any():
        top, left = np.unravel_index(np.argmax(detail), detail.shape)
        boxes.append((int(top), int(left), size))
        detail[max(top - size + 1, 0) : top + size, max(left - size + 1, 0) : left + size] = -np.inf
    return boxes


def _draw(
    path: str | Path, columns: Sequence[tuple[str, Tensor]], errors: Sequence[Tensor], boxes: Sequence[Box], scale: int
) -> Path:
    rows, count = len(boxes), len(columns) + len(errors)
    height, width = columns[0][1].shape[-2:]
    side = 2.0  # inches of a crop
    whole = rows * side * width / height  # the picture stands at the left, as high as all rows
    figure = Figure(figsize=(min(whole, 8) + count * side + 0.3, rows * side + 0.6), layout="constrained")
    grid = figure.add_gridspec(rows, count + 1, width_ratios=[min(whole, 8) / side] + [1] * count)
    _whole(figure.add_subplot(grid[:, 0]), columns[-1][1], boxes, scale)
    for row, (top, left, size) in enumerate(boxes):
        for column, (title, image) in enumerate(columns):
            factor = 1 if column == 0 else scale
            crop = image[:, top * factor : (top + size) * factor, left * factor : (left + size) * factor]
            axis = _panel(figure.add_subplot(grid[row, column + 1]), BOX_COLOURS[row % len(BOX_COLOURS)])
            axis.imshow(crop.permute(1, 2, 0).numpy(), interpolation="nearest")
            if row == 0:
                axis.set_title(title, fontsize=10)
        for column, error in enumerate(errors, len(columns) + 1):
            area = slice(top * scale, (top + size) * scale), slice(left * scale, (left + size) * scale)
            axis = _panel(figure.add_subplot(grid[row, column]), BOX_COLOURS[row % len(BOX_COLOURS)])
            axis.imshow(error[area].numpy(), cmap="magma", vmin=0, vmax=ERROR_LEVELS, interpolation="nearest")
            if row == 0:
                name = "bicubic" if column == len(columns) + 1 else "ours"
                axis.set_title(f"error of {name}\n(luma, 0 to {ERROR_LEVELS})", fontsize=10)
    return write_figure(figure, path, dpi=100)


def _whole(axis, image: Tensor, boxes: Sequence[Box], scale: int) -> None:
    axis.imshow(image.permute(1, 2, 0).numpy())
    for number, (top, left, size) in enumerate(boxes):
        colour = BOX_COLOURS[number % len(BOX_COLOURS)]
        corner = (left * scale - 0.5, top * scale - 0.5)
        axis.add_patch(Rectangle(corner, size * scale, size * scale, fill=False, edgecolor=colour, linewidth=1.5))
    axis.set_axis_off()


def _panel(axis, colour: str):
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(1.5)
    return axis


def _values(image: Tensor, truth: Tensor | None, scale: int) -> str:
    """Return PSNR and SSIM as a second line; SSIM only where its window fits, nothing without a truth."""
    if truth is None or min(truth.shape[-2:]) <= 2 * scale:
        return ""
    text = f"\n{psnr(image, truth, scale, 'Y'):.2f} dB"
    fits = min(truth.shape[-2:]) - 2 * scale >= SMALLEST_SSIM
    return text + (f" / {ssim(image, truth, scale, 'Y'):.4f}" if fits else "")


def _require_inside(box: Box, sides: Sequence[int]) -> None:
    top, left, size = box
    if size < 1 or top < 0 or left < 0 or top + size > sides[0] or left + size > sides[1]:
        raise ValueError(f"the box (top, left, size) = {box} lies outside a picture of {sides[0]} x {sides[1]} pixels")


def _tensor(image: np.ndarray) -> Tensor:
    """Return (H, W, 3) as (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
