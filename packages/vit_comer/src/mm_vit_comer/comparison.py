"""Drawings of a picture, what is annotated in it and what was predicted, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mm_vit_comer.visualization import beside_lines, overlay
from mmrepro.figures import write_png

SMALLEST_SIDE = 240  # of a panel in pixels; smaller pictures are enlarged by a whole number
CAPTION = 16  # size of the letters
_GAP = 6  # pixels between panels


@dataclass(frozen=True)
class Objects:
    """What is in a picture, annotated or predicted.

    Attributes:
        boxes: ``(N, 4)`` as (x1, y1, x2, y2) in pixels.
        labels: ``(N,)``, places among the classes.
        masks: ``(N, H, W)`` bool.
        scores: ``(N,)`` in [0, 1]; None of annotations.
    """

    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    scores: np.ndarray | None = None


def draw_labels(
    picture: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    path: str | Path,
) -> Path:
    """Draw a picture, its annotated and its predicted labels, with a legend of the classes in either; write a PNG.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        truth: ``(H, W)``; what is no class is left dark and out of the shares.
        predicted: ``(H, W)``.
        classes: names.
        palette: RGB of each.
        path: the file to write, whole or not at all.
    """
    shares = np.array([[np.mean(labels == number) for labels in (truth, predicted)] for number in range(len(classes))])
    order = [number for number in np.argsort(-shares.max(1), kind="stable") if shares[number].any()]
    lines = [(None, "annotated / predicted")]
    lines += [(palette[k], f"{classes[k]}  {shares[k][0]:.1%} / {shares[k][1]:.1%}") for k in order]
    factor = _enlargement(picture)
    panels = [picture, overlay(picture, truth, palette), overlay(picture, predicted, palette)]
    return _write([_enlarged(panel, factor) for panel in panels], lines, path)


def draw_objects(
    picture: np.ndarray,
    truth: Objects,
    predicted: Objects,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    path: str | Path,
) -> Path:
    """Draw a picture, its annotated and its predicted boxes and masks, with a legend of the classes; write a PNG.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        truth: what is annotated.
        predicted: what was found, with scores.
        classes: names.
        palette: RGB of each.
        path: the file to write, whole or not at all.
    """
    lines = [(None, "annotated / predicted")]
    for number, (name, colour) in enumerate(zip(classes, palette, strict=True)):
        lines.append((colour, f"{name}  {np.sum(truth.labels == number)} / {np.sum(predicted.labels == number)}"))
    factor = _enlargement(picture)
    panels = [_enlarged(picture, factor)]
    panels += [_with_objects(picture, objects, classes, palette, factor) for objects in (truth, predicted)]
    return _write(panels, lines, path)


def _with_objects(
    picture: np.ndarray, objects: Objects, classes: Sequence[str], palette: Sequence[Sequence[int]], factor: int
) -> np.ndarray:
    """Return the enlarged picture with masks laid over it, boxes, and names with scores."""
    shown = picture.astype(np.float32)
    for label, mask in zip(objects.labels, objects.masks, strict=True):
        shown[mask] = (shown[mask] + np.array(palette[label], np.float32)) / 2
    sheet = Image.fromarray(_enlarged(shown.round().astype(np.uint8), factor))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(CAPTION * 3 // 4)
    corners = (objects.boxes * factor).tolist()
    for box, label in zip(corners, objects.labels, strict=True):
        draw.rectangle(box, outline=tuple(palette[label]), width=2)
    for number, ((left, top, *_), label) in enumerate(zip(corners, objects.labels, strict=True)):  # above every box
        text = classes[label] if objects.scores is None else f"{classes[label]} {objects.scores[number]:.2f}"
        place = (max(0.0, min(left, sheet.width - font.getlength(text) - 2)), max(0.0, top - CAPTION))
        draw.rectangle(draw.textbbox(place, text, font=font), fill="white")
        draw.text(place, text, fill="black", font=font)
    return np.asarray(sheet)


def _enlargement(picture: np.ndarray) -> int:
    return max(1, -(-SMALLEST_SIDE // min(picture.shape[:2])))


def _enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, 0).repeat(factor, 1)


def _write(panels: Sequence[np.ndarray], lines: Sequence[tuple[Sequence[int] | None, str]], path: str | Path) -> Path:
    """Join a picture, its annotation and its prediction below their names, and the legend."""
    height, width = panels[0].shape[:2]
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height + CAPTION * 3 // 2), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(CAPTION)
    for number, (panel, name) in enumerate(zip(panels, ("picture", "annotated", "predicted"), strict=True)):
        left = number * (width + _GAP)
        draw.text((left + 2, 1), name, fill="black", font=font)
        sheet.paste(Image.fromarray(panel), (left, CAPTION * 3 // 2))
    return write_png(beside_lines(np.asarray(sheet), lines), path)
