"""Multi-scale deformable attention at the papers' shapes, beside mmcv's Python formulation; on CUDA also Triton.

Locations lie where the papers' modules have them: the encoders' around the centre of their own cell, the decoders'
inside boxes. Forward alone runs without gradients; forward + backward has those of values, locations and weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mmrepro.ops import finder, ms_deform_attn

Make = Callable[[], Callable[[], object]]
FORWARD, BOTH = "forward", "forward + backward"


class Shape(NamedTuple):
    """One use of the operator.

    Args:
        images: how many.
        levels: each level's ``(H, W)``.
        heads: how many.
        width: of a head.
        points: of each level.
        queries: how many, each with a box; 0: one for each cell of all levels.
    """

    images: int
    levels: tuple[tuple[int, int], ...]
    heads: int = 8
    width: int = 32
    points: int = 4
    queries: int = 0


def pyramid(height: int, width: int, *strides: int) -> tuple[tuple[int, int], ...]:
    """Return the levels of an image at strides, rounded up as convolutions do."""
    return tuple((-(-height // stride), -(-width // stride)) for stride in strides)


FULL = pyramid(800, 1333, 8, 16, 32, 64)
HALF = pyramid(400, 667, 8, 16, 32, 64)
FIVE = pyramid(400, 667, 4, 8, 16, 32, 64)
PATCHES = ((148, 148), (74, 74), (37, 37))  # of MonoDINO-DETR's 518 pixels
COMER_512 = pyramid(512, 512, 8, 16, 32)
COMER_800 = pyramid(800, 1344, 8, 16, 32)
SHAPES = {
    "Relation-DETR encoder, 4 levels of 400x667": Shape(1, HALF),
    "Relation-DETR encoder, 4 levels of 800x1333": Shape(1, FULL),
    "Relation-DETR encoder, 5 levels of 400x667": Shape(1, FIVE),
    "Deformable-DETR++ decoder, 300 queries, 4 levels of 800x1333": Shape(2, FULL, queries=300),
    "Relation-DETR decoder, 900 queries, 4 levels of 800x1333": Shape(2, FULL, queries=900),
    "Relation-DETR decoder, 900 queries, 5 levels of 400x667": Shape(2, FIVE, queries=900),
    "ViDT decoder, 100 queries, 4 levels of 800x1333": Shape(2, FULL, queries=100),
    "MonoDINO-DETR encoder, 3 levels of 518x518": Shape(1, PATCHES),
    "MonoDINO-DETR decoder, 50 queries": Shape(2, PATCHES, queries=50),
    "MonoDINO-DETR decoder in training, 550 queries": Shape(2, PATCHES, queries=550),
    "ViT-CoMer-T interaction, 512x512": Shape(1, COMER_512, heads=6, width=32),
    "ViT-CoMer-S interaction, 512x512": Shape(1, COMER_512, heads=6, width=64),
    "ViT-CoMer-B interaction, 512x512": Shape(1, COMER_512, heads=12, width=32),
    "ViT-CoMer-S interaction, 800x1344": Shape(1, COMER_800, heads=6, width=64),
    "ViT-CoMer-L interaction, 512x512": Shape(1, COMER_512, heads=16, width=32),
}


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return what to measure: the pure path beside mmcv's Python; on CUDA Triton beside both kinds of alternatives."""
    # Imported before anything is measured: what an import holds is no operator's memory.
    import mmcv._ext
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    python = partial(_mmcv_python, multi_scale_deformable_attn_pytorch)
    pure, triton, compiled = (partial(_ours, path) for path in ("torch", "triton", "mmcv"))
    found = {"CPU: ours beside mmcv's Python formulation": _group("cpu", {"ours": pure, "mmcv": python})}
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        found[f"{name}: Triton beside the pure path"] = _group("cuda", {"Triton": triton, "pure": pure})
        if not finder.is_served(mmcv._ext):
            found[f"{name}: Triton beside mmcv's kernel"] = _group("cuda", {"Triton": triton, "mmcv": compiled})
    return found


def _group(device: str, sides: dict[str, Callable]) -> dict[str, dict[str, dict[str, Make]]]:
    return {
        name: {
            direction: {
                label: partial(_make, shape, device, direction == BOTH, attend) for label, attend in sides.items()
            }
            for direction in (FORWARD, BOTH)
        }
        for name, shape in SHAPES.items()
    }


def _make(shape: Shape, device: str, backward: bool, attend: Callable) -> Callable[[], object]:
    """Return a call of one side at one shape."""
    value, shapes, starts, locations, weights = draw(shape, device)
    grad = torch.ones(shape.images, locations.shape[1], shape.heads * shape.width, device=device)
    leaves = (value, locations, weights)

    def step() -> None:
        if backward:
            for leaf in leaves:
                leaf.requires_grad_().grad = None
            attend(value, shapes, starts, locations, weights).backward(grad)
        else:
            with torch.no_grad():
                attend(value, shapes, starts, locations, weights)
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def draw(shape: Shape, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the operator's five arguments, always the same ones for a shape."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor(shape.levels)
    sizes = levels.prod(1)
    starts = sizes.cumsum(0) - sizes
    value = torch.randn(shape.images, int(sizes.sum()), shape.heads, shape.width, generator=generator)
    centres, extents = _references(shape, generator)  # (B, N, 2), (B, N, 1, 1, 1, 2) or (L, 1, 2)
    offsets = torch.randn(*centres.shape[:2], shape.heads, len(levels), shape.points, 2, generator=generator)
    locations = centres[:, :, None, None, None] + offsets * extents
    weights = torch.rand(*offsets.shape[:-1], generator=generator)
    weights = weights.flatten(3).softmax(-1).view_as(weights)
    return tuple(one.to(device) for one in (value, levels, starts, locations, weights))


def _references(shape: Shape, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the queries' centres and by how much of the image their points spread."""
    if shape.queries:
        boxes = torch.rand(shape.images, shape.queries, 4, generator=generator)
        return boxes[..., :2], boxes[:, :, None, None, None, 2:] / 4
    cells = [_centres(*level) for level in shape.levels]
    spread = 2 / torch.tensor([(width, height) for height, width in shape.levels])  # two pixels of each level
    return torch.cat(cells).expand(shape.images, -1, -1), spread[:, None]


def _centres(height: int, width: int) -> Tensor:
    """Return the centres of a level's cells, row by row, as ``(x, y)``."""
    rows, columns = ((torch.arange(size) + 0.5) / size for size in (height, width))
    return torch.cartesian_prod(rows, columns).flip(-1)


def _ours(path: str, *arguments: Tensor) -> Tensor:
    """Call our function on one path, said again in each call since both sides share a process."""
    os.environ["MMREPRO_MSDA"] = path
    return ms_deform_attn(*arguments)


def _mmcv_python(
    formulation: Callable, value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    """Call mmcv's formulation, which finds the levels' starts itself."""
    return formulation(value, shapes, locations, weights)
