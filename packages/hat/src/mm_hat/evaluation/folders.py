"""PSNR and SSIM of a folder of restored pictures against their truths, beside bicubic interpolation.

The measures and the border are those of arXiv 2205.04437, section 4.1 (official code: XPixelGroup/BasicSR @ 8d56e3a),
on the luma, which the papers report, and on the colours. Whatever made the pictures is measured alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mm_hat.datasets.benchmark import REGENERATED, STORED
from mm_hat.datasets.image_io import SUFFIXES, read_rgb
from mm_hat.datasets.imresize import imresize
from mm_hat.evaluation.bicubic import upscale_bicubic
from mm_hat.evaluation.metric import MEASURES
from mmrepro.engine.errors import UserError

CHANNELS: dict[str, Literal["Y"] | None] = {"Y": "Y", "RGB": None}  # a table's name: what the measures convert to
# What data sets and programs add to a picture's name: img_001_SRF_4_LR, 0801x4, bird_HR
_MARKS = re.compile(r"(_SRF_\d+)?(_(?P<role>HR|LR))?(_?x\d+)?$")


@dataclass(frozen=True)
class Comparison:
    """The files of one picture.

    Attributes:
        name: the picture's name, without what tells its files apart.
        restored: what is measured.
        truth: against what.
        low: what it was made from; None to make it of the truth, as the test sets' pictures were made.
    """

    name: str
    restored: Path
    truth: Path
    low: Path | None


def measure_folders(
    restored: str | Path, truth: str | Path, scale: int, low: str | Path | None = None, crop_border: int | None = None
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Measure every picture that has a truth.

    Args:
        restored: a folder of restored pictures, or one.
        truth: the truths, found by their names. Where none is the same, ``_HR``, ``_LR``, ``_SRF_4`` and ``x4`` at the
            end do not count. In a folder that holds both ``_HR`` and ``_LR``, those of the other kind are left out.
        scale: how many times larger the restored pictures are than what they were made from.
        low: what they were made from; None to make it of the truths.
        crop_border: pixels that do not count on each side; None for as many as the scale, as the papers.

    Returns:
        For ``Y`` and for ``RGB`` one mapping for each picture, as :func:`mm_hat.evaluation.metric.table` takes them;
        and what went wrong, by the file's name.

    Raises:
        UserError: nothing to measure: a folder is not there or empty, no name fits, or scale 1 without ``low``.
    """
    if scale < 1:
        raise UserError(f"scale {scale}: pictures are enlarged 1, 2, 3 ... times")
    if scale == 1 and low is None:
        raise UserError("at scale 1 the baseline is the degraded picture. Fix: give the folder of those, low")
    comparisons, failed = pair(Path(restored), Path(truth), None if low is None else Path(low))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in CHANNELS}
    for comparison in comparisons:
        try:
            values = measure(comparison, scale, scale if crop_border is None else crop_border)
        except (OSError, ValueError) as fault:
            failed[str(comparison.restored)] = str(fault).removeprefix(f"{comparison.restored} ")
            continue
        for name in CHANNELS:
            results[name].append(values[name])
    return results, failed


def pair(restored: Path, truth: Path, low: Path | None) -> tuple[list[Comparison], dict[str, str]]:
    """Find each truth's restored picture, and its low-resolution one where ``low`` is given.

    Returns:
        The comparisons, and what is missing, by the truth's name.

    Raises:
        UserError: a folder is not there or empty, two files in one folder have one name, or no name fits.
    """
    places = [(truth, "HR"), (restored, "LR"), *([] if low is None else [(low, "LR")])]
    folders = [_matches(place, role) for place, role in places]
    names = [{match.string for match in folder.values()} for folder in folders]
    whole = bool(set.intersection(*names))
    truths, ours, *others = [_by_name(folder, whole) for folder in folders]
    inputs = others[0] if others else None
    comparisons, failed = [], {}
    for name, path in truths.items():
        if name not in ours:
            failed[str(path)] = f"no picture of this name in {restored}"
        elif inputs is not None and name not in inputs:
            failed[str(path)] = f"no picture of this name in {low}"
        else:
            comparisons.append(Comparison(name, ours[name], path, None if inputs is None else inputs[name]))
    if not comparisons:
        listed = ", ".join(str(place) for place, _ in places)
        raise UserError(f"no picture is in each of {listed}. Fix: give them the same names")
    return comparisons, failed


def measure(comparison: Comparison, scale: int, crop_border: int) -> dict[str, dict[str, Any]]:
    """Return the measures of one picture and of its baseline, for ``Y`` and ``RGB``.

    The truth is cut to a multiple of the scale at the bottom and on the right, as the official code does.

    Raises:
        OSError, ValueError: a file cannot be read, or the sizes do not fit together; the files are named.
    """
    whole = read_rgb(comparison.truth)
    height, width = (side // scale * scale for side in whole.shape[:2])
    truth = whole[:height, :width]
    if comparison.low is None:
        low = imresize(truth, 1 / scale, mode="uint8", border="replicate")
    else:
        low = read_rgb(comparison.low)
        # Made of the uncut truth it has a last row or column more; anything else is of another scale
        if all(low.shape[i] in (whole.shape[i] // scale, -(-whole.shape[i] // scale)) for i in (0, 1)):
            low = low[: height // scale, : width // scale]
    ours = read_rgb(comparison.restored)
    for path, image, factor in ((comparison.restored, ours, 1), (comparison.low, low, scale)):
        if (image.shape[0] * factor, image.shape[1] * factor) != (height, width):
            raise ValueError(
                f"{path} has {_size(image)} pixels; of {comparison.truth} {width} x {height} count at scale {scale}. "
                f"Fix: {width // factor} x {height // factor} pixels, or another scale"
            )
    pictures = {"": _tensor(ours), "baseline_": upscale_bicubic(_tensor(low) / 255, scale)}
    source = REGENERATED if comparison.low is None else STORED
    head = {"name": comparison.name, "set": "", "source": source, "scale": scale}
    return {
        channels: head
        | {
            f"{prefix}{name}": function(picture, _tensor(truth), crop_border, convert_to)
            for prefix, picture in pictures.items()
            for name, function in MEASURES.items()
        }
        for channels, convert_to in CHANNELS.items()
    }


def _matches(folder: Path, role: str) -> dict[Path, re.Match[str]]:
    """Return the marks of a folder's pictures; where some are marked as of that role, of those alone."""
    if not folder.exists():
        raise UserError(f"{folder}: no such file or folder")
    paths = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    matches = {path: _MARKS.search(path.stem) for path in paths if path.suffix.lower() in SUFFIXES}
    if not matches:
        raise UserError(f"{folder} has no pictures. Fix: a folder with files of {', '.join(SUFFIXES)}")
    return {path: match for path, match in matches.items() if match["role"] == role} or matches


def _by_name(matches: dict[Path, re.Match[str]], whole: bool) -> dict[str, Path]:
    """Return pictures by their names, with the marks where they are whole."""
    found: dict[str, Path] = {}
    for path, match in matches.items():
        name = match.string if whole else match.string[: match.start()]
        if name in found:
            raise UserError(f"{found[name]} and {path} have one name, {name!r}. Fix: leave one out")
        found[name] = path
    return found


def _tensor(image: np.ndarray) -> Tensor:
    """Return (H, W, 3) as (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
