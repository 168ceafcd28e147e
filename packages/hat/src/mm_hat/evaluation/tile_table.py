"""What tiles change: tiled results beside those of whole pictures (arXiv 2205.04437, section 4.1, and official tiles).

Channel attention averages over all that the network sees, so a tile is not a cut-out of the whole picture's result,
whatever it overlaps. How much that matters depends on the weights and the pictures; here it is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

import torch
from mmengine.dataset import Compose
from torch import Tensor

from mm_hat.datasets.benchmark import REGENERATED, SRBenchmarkDataset, benchmark_pipeline
from mm_hat.datasets.paired import BasicImageDataset
from mm_hat.evaluation.psnr_ssim import psnr, to_uint8
from mm_hat.models.preprocessor import as_unit_range
from mm_hat.models.restorer import ImageRestorer
from mm_hat.models.tiling import check_tile, pad_to_window, restore_tiles

SETS = ("Set5", "Set14", "BSD100", "Urban100", "Manga109")
COLUMNS = ("tile", "overlap", "pictures", "pixels seen", "cut: change", "cut: likeness")
FEATHERED = ("feathered: change", "feathered: likeness")


@dataclass(frozen=True)
class TileEffect:
    """What one way to tile changes, on average over the pictures that do not fit into one tile.

    Attributes:
        tile: side of a tile's core in pixels of the input.
        overlap: how far a tile looks over its core's edge.
        pictures: how many pictures were larger than a tile.
        seen: pixels that the network works on, divided by those of the whole pictures.
        changes: with hard seams and, where tiles overlap, with seams as wide as the overlap: the mean of PSNR(tiled) -
            PSNR(whole) in dB, each against the truth, on the luma.
        likenesses: in the same order the PSNR in dB of the tiled against the whole pictures, on the luma, of the mean
            squared error; infinite where no level differs.
    """

    tile: int
    overlap: int
    pictures: int
    seen: float
    changes: tuple[float, ...]
    likenesses: tuple[float, ...]


@torch.no_grad()
def tile_effects(
    restorer: ImageRestorer,
    samples: Iterable[Mapping],
    tiles: Sequence[int],
    overlaps: Sequence[int],
) -> list[TileEffect]:
    """Restore pictures whole and in tiles, and compare.

    Args:
        restorer: with trained weights; its own ``test_cfg`` plays no part.
        samples: as ``SRPackInputs`` makes them: ``inputs`` (C, h, w) and ``data_samples.gt_img`` (C, h*s, w*s).
        tiles: sides of tiles, multiples of the network's window.
        overlaps: likewise, or 0.

    Returns:
        An entry for each tile that leaves not all pictures whole, and each overlap.

    Raises:
        ValueError: a tile or an overlap does not fit the window, or no picture is larger than a tile.
    """
    for tile in tiles:
        for overlap in overlaps:
            check_tile(tile, overlap, restorer.window)
    restorer.eval()
    found: dict[tuple[int, int], list[tuple[float, list[tuple[float, float]]]]] = {}
    for sample in samples:
        low = as_unit_range(sample["inputs"])[None].to(restorer.data_preprocessor.device)
        padded = pad_to_window(low, restorer.window)
        truth = sample["data_samples"].gt_img
        whole = _levels(restorer.generator(padded), truth)
        reached = _luma_psnr(whole, truth, restorer.scale)
        for tile in (tile for tile in tiles if tile < max(padded.shape[-2:])):
            for overlap in overlaps:
                seen, results = _tiled(restorer, padded, tile, overlap)
                values = []
                for result in (_levels(one, truth) for one in results):
                    change = _luma_psnr(result, truth, restorer.scale) - reached
                    values.append((change, _luma_psnr(result, whole, restorer.scale)))
                found.setdefault((tile, overlap), []).append((seen / padded[0, 0].numel(), values))
    if not found:
        raise ValueError(f"no picture is larger than a tile of {min(tiles)} px. Fix: smaller tiles, or larger pictures")
    return [_mean(*setting, found[setting]) for setting in product(tiles, overlaps) if setting in found]


def _tiled(restorer: ImageRestorer, padded: Tensor, tile: int, overlap: int) -> tuple[int, list[Tensor]]:
    """Return how many pixels the network saw, and the results: cut hard and, where tiles overlap, feathered."""
    outputs, seen = [], 0

    def run(part: Tensor) -> Tensor:
        nonlocal seen
        seen += part[0, 0].numel()
        outputs.append(restorer.generator(part))
        return outputs[-1]

    results = [restore_tiles(run, padded, restorer.scale, tile, overlap)]
    if overlap:
        again = iter(outputs)  # the same tiles in the same order, put together in another way
        results.append(restore_tiles(lambda _: next(again), padded, restorer.scale, tile, overlap, feather=overlap))
    return seen, results


def _levels(result: Tensor, truth: Tensor) -> Tensor:
    """Return a result (1, C, H, W) without what padding added, in 8-bit levels (C, H, W) on the CPU."""
    return to_uint8(result[0, :, : truth.shape[-2], : truth.shape[-1]].cpu())


def _luma_psnr(one: Tensor, other: Tensor, border: int) -> float:
    return psnr(one, other, border, "Y")


def _mean(tile: int, overlap: int, found: list[tuple[float, list[tuple[float, float]]]]) -> TileEffect:
    seen, values = zip(*found, strict=True)
    ways = [list(zip(*way, strict=True)) for way in zip(*values, strict=True)]  # cut, feathered: changes, likenesses
    changes = tuple(fmean(change) for change, _ in ways)
    # The mean of errors and not of decibels: one picture without any difference would make the latter infinite.
    errors = [fmean(10 ** (-value / 10) for value in likeness) for _, likeness in ways]
    likenesses = tuple(-10 * math.log10(error) if error else math.inf for error in errors)
    return TileEffect(tile, overlap, len(found), fmean(seen), changes, likenesses)


def cells(effects: Sequence[TileEffect]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table of effects; decibels, and ``-`` where nothing can be feathered."""
    rows = []
    for one in effects:
        row = [f"{one.tile}", f"{one.overlap}", f"{one.pictures}", f"{one.seen:.2f} ×"]
        for change, likeness in zip(one.changes, one.likenesses, strict=True):
            row += [f"{round(change, 3) + 0.0:+.3f}", f"{likeness:.1f}"]  # never -0.000
        rows.append(row + ["-"] * (len(COLUMNS) + len(FEATHERED) - len(row)))
    return [*COLUMNS, *FEATHERED], rows


def samples_of(source: str | Path, scale: int) -> Sequence[dict]:
    """Return pictures with their truth: of a file, of a folder, or of a test set by its name.

    Files are truths; their low-resolution pictures are made as those of the test sets.

    Args:
        source: a file, a folder, or one of ``SETS``.
        scale: how many times larger the truths are, 2 or more.

    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: the scale is 1, where nothing says how the truth becomes an input; or a file is no picture, or
            smaller than a pixel at that scale.
    """
    if scale < 2:
        raise ValueError("at scale 1 inputs cannot be made of the truth. Fix: a network that enlarges")
    path, pipeline = Path(source), benchmark_pipeline(scale, REGENERATED)
    if path.is_dir():
        return BasicImageDataset({"gt": str(path)}, pipeline=pipeline)
    if path.is_file():
        return [Compose(pipeline)({"gt_path": str(path), "key": path.stem})]
    if str(source) in SETS:
        return SRBenchmarkDataset(str(source), scale)
    raise FileNotFoundError(f"{source} is no file, no folder and none of the test sets {', '.join(SETS)}")
