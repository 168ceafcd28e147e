"""Whole images and tiles through a network that only takes multiples of its window (arXiv 2205.04437, section 4.1).

Official code: XPixelGroup/HAT @ 1638a9a, hat/models/hat_model.py (pre_process, tile_process, post_process), Apache-2.0.
Ours also takes images smaller than half a window, can blend the seams, chooses a tile that fits the memory, and stops
where memory runs out (there the previous tile's picture is pasted again).

A tile is not a cut-out of the whole image's result: channel attention averages over what it sees, so every pixel
depends on all of the tile. Overlap hides the seams, it does not restore the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]
SHARE = 0.7  # of the free memory: allocators leave gaps, and others need some too


@dataclass(frozen=True)
class Span:
    """One tile's place along one axis of the padded image, in pixels.

    Attributes:
        core: the part whose result is kept.
        seen: the core and its overlap, clipped to the image: what the network gets.
    """

    core: tuple[int, int]
    seen: tuple[int, int]


def pad_to_window(image: Tensor, window: int) -> Tensor:
    """Extend (B, C, H, W) at the bottom and on the right to multiples of the window, by reflection without the edge.

    Sides shorter than the border are reflected to and fro; torch's own reflection refuses them.

    Raises:
        ValueError: not four dimensions, or an empty side.
    """
    if image.ndim != 4 or 0 in image.shape:
        raise ValueError(f"an image batch has shape (B, C, H, W) and no empty side, got {tuple(image.shape)}")
    for axis in (2, 3):
        side = image.shape[axis]
        padded = math.ceil(side / window) * window
        if padded != side:
            image = image.index_select(axis, _reflected(side, padded).to(image.device))
    return image


def _reflected(side: int, padded: int) -> Tensor:
    """Return which of ``side`` pixels stands at each of ``padded`` places: 0 1 2 3 2 1 0 1 ..."""
    period = max(2 * (side - 1), 1)
    place = torch.arange(padded) % period
    return torch.minimum(place, (period - place).abs()) if side > 1 else torch.zeros_like(place)


def spans(side: int, tile: int, overlap: int) -> list[Span]:
    """Return the tiles along an axis; the last one may be narrower."""
    return [
        Span((start, min(start + tile, side)), (max(start - overlap, 0), min(start + tile + overlap, side)))
        for start in range(0, side, tile)
    ]


def check_tile(tile: int, overlap: int, window: int) -> None:
    """Refuse tiles that the network cannot take.

    Raises:
        ValueError: the tile is smaller than the window, or one of both is no multiple of it.
    """
    if tile < window:
        raise ValueError(
            f"a tile of {tile} px is smaller than the network's window of {window} px. Fix: a multiple of {window}"
        )
    if tile % window or overlap % window or overlap < 0:
        raise ValueError(
            f"tile={tile} and overlap={overlap} must be multiples of the window of {window} px, "
            f"such as tile={math.ceil(tile / window) * window}, overlap={max(math.ceil(overlap / window), 0) * window}"
        )


def check_feather(feather: int, overlap: int) -> None:
    """Refuse a blend that is wider than what neighbours share.

    Raises:
        ValueError: it is, or it is negative.
    """
    if not 0 <= feather <= 2 * overlap:
        raise ValueError(f"feather={feather} px: from 0 to {2 * overlap}, twice the overlap, is possible")


def restore_tiles(
    network: Network,
    image: Tensor,
    scale: int,
    tile: int,
    overlap: int = 32,
    feather: int = 0,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Run a network over overlapping tiles of a padded image and put the results together.

    Args:
        network: takes (B, C, h, w), gives (B, C', h*scale, w*scale).
        image: (B, C, H, W), sides multiples of the window.
        scale: how many times larger the result is.
        tile: side of a tile's core.
        overlap: how far a tile looks over its core's edge; not at the image's border.
        feather: width of the blend between neighbours, centred on the edge between two cores and at most twice the
            overlap; 0 cuts hard, as the official code does.
        batch_size: how many tiles of equal size run at once; the result does not change.
        progress: called with the numbers of finished and of all tiles.

    Returns:
        (B, C', H*scale, W*scale), not clamped.

    Raises:
        ValueError: ``feather`` is negative or wider than what neighbours share.
    """
    check_feather(feather, overlap)
    rows, columns = (spans(side, tile, overlap) for side in image.shape[-2:])
    row_weights, column_weights = (_weights(axis, scale, feather) for axis in (rows, columns))
    places = [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    result, done = None, 0
    for group in _of_equal_size(places, rows, columns, batch_size):
        seen = [image[:, :, slice(*rows[i].seen), slice(*columns[j].seen)] for i, j in group]
        outputs = network(torch.cat(seen)).chunk(len(group))
        if result is None:
            sides = [side * scale for side in image.shape[-2:]]
            result = outputs[0].new_zeros((*outputs[0].shape[:2], *sides))
        for (i, j), output in zip(group, outputs, strict=True):
            _check_scale(output, rows[i], columns[j], scale)
            down, across = row_weights[i].to(output), column_weights[j].to(output)
            _paste(result, output, (rows[i], columns[j]), (down, across), scale, feather > 0)
        done += len(group)
        if progress is not None:
            progress(done, len(places))
    return result


def _check_scale(output: Tensor, row: Span, column: Span, scale: int) -> None:
    wanted = tuple((span.seen[1] - span.seen[0]) * scale for span in (row, column))
    if tuple(output.shape[-2:]) != wanted:
        raise ValueError(
            f"scale={scale}: a tile should become {wanted} px, the network gave {tuple(output.shape[-2:])}"
        )


def _paste(
    result: Tensor,
    output: Tensor,
    place: tuple[Span, Span],
    weights: tuple[Tensor, Tensor],
    scale: int,
    blend: bool,
) -> None:
    """Put a tile's core into the result, or add all of the tile by its weights."""
    if blend:
        into = result[..., slice(*_scaled(place[0].seen, scale)), slice(*_scaled(place[1].seen, scale))]
        into += output * weights[0][:, None] * weights[1]
        return
    inside = [_scaled((s.core[0] - s.seen[0], s.core[1] - s.seen[0]), scale) for s in place]
    into = result[..., slice(*_scaled(place[0].core, scale)), slice(*_scaled(place[1].core, scale))]
    into.copy_(output[..., slice(*inside[0]), slice(*inside[1])])


def _scaled(bounds: tuple[int, int], scale: int) -> tuple[int, int]:
    return bounds[0] * scale, bounds[1] * scale


def _weights(axis: Sequence[Span], scale: int, feather: int) -> list[Tensor]:
    """Return each tile's weights along an axis of the result; at every place they add up to 1.

    A weight falls linearly across the core's edge, from ``feather / 2`` inside to ``feather / 2`` outside; where a last
    tile is narrower than that, three tiles meet and share.
    """
    total = torch.zeros(axis[-1].core[1] * scale, dtype=torch.float64)
    weights = []
    for span in axis:
        # distance of each pixel's middle to the core's two edges, in pixels of the input, positive inside
        middle = (torch.arange(span.seen[0] * scale, span.seen[1] * scale, dtype=torch.float64) + 0.5) / scale
        inside = []
        for distance, at_border in (
            (middle - span.core[0], span is axis[0]),
            (span.core[1] - middle, span is axis[-1]),
        ):
            ramp = (distance / feather + 0.5).clamp(0, 1) if feather else (distance > 0).double()
            inside.append(torch.ones_like(middle) if at_border else ramp)
        weights.append(inside[0] * inside[1])
        total[slice(*_scaled(span.seen, scale))] += weights[-1]
    return [weight / total[slice(*_scaled(span.seen, scale))] for weight, span in zip(weights, axis, strict=True)]


def _of_equal_size(
    places: Sequence[tuple[int, int]], rows: Sequence[Span], columns: Sequence[Span], batch_size: int
) -> Iterator[list[tuple[int, int]]]:
    """Yield groups of up to ``batch_size`` tiles that the network sees at the same size."""
    by_size: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, j in places:
        size = (rows[i].seen[1] - rows[i].seen[0], columns[j].seen[1] - columns[j].seen[0])
        by_size.setdefault(size, []).append((i, j))
    for group in by_size.values():
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]


def available_memory(device: torch.device) -> int:
    """Return how many bytes are free on a device: of the accelerator, or of the machine (and of its control group)."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():  # not Linux: assume what a small machine has left
        return 2 * 2**30
    entries = dict(line.split(":") for line in meminfo.read_text(encoding="ascii").splitlines())
    free = int(entries["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return max(free, 0)


def largest_tile(
    sides: tuple[int, int], window: int, overlap: int, bytes_per_pixel: float, memory: float, share: float = SHARE
) -> int | None:
    """Choose the largest tile whose run fits into memory; None when the whole image does.

    Args:
        sides: height and width of the padded image.
        window: the network's window.
        overlap: how far tiles look over their edge.
        bytes_per_pixel: what a run takes for each pixel of its input.
        memory: bytes that are free; below 0 where not even the result fits.
        share: how much of them may be used.

    Raises:
        MemoryError: not even one window and its overlap fit.
    """
    pixels = max(memory, 0.0) * share / bytes_per_pixel
    if sides[0] * sides[1] <= pixels:
        return None
    tile = (int(math.sqrt(pixels)) - 2 * overlap) // window * window
    if tile < window:
        need = bytes_per_pixel * (window + 2 * overlap) ** 2 / share
        raise MemoryError(
            f"{max(memory, 0.0) / 2**20:.0f} MiB are free beside the result, the smallest tile ({window} px and an "
            f"overlap of {overlap} px) needs {need / 2**20:.0f} MiB: lower the overlap or free memory"
        )
    return tile
