"""What the interactions do to a picture: feature maps with and without them, and where deformable attention looks.

The maps without are those of the same trunk with the same weights, its blocks run one after the other, enlarged to the
strides of ViT-CoMer: what a plain ViT has to offer to a detector (arXiv 2403.07392, figures 1 and 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from mm_vit_comer.models.beit import BeitAttention, BeitWindowAttention
from mm_vit_comer.models.vit_comer import ViTCoMer
from mmrepro.dense.image_padding import DIVISOR, cut, padded
from mmrepro.dense.token_levels import to_map, token_levels
from mmrepro.dense.two_branch_vit import PATCH_SIZE, STRIDES

Stage = Literal["to_v", "to_c"]
LEVEL_STRIDES = STRIDES[1:]  # of the convolutional tokens
_SPREAD = (1.0, 99.0)  # percentiles of a component that become black and full


@dataclass(frozen=True)
class Samples:
    """The points that one query's attention reads, of all heads.

    Attributes:
        place: the query's centre as (x, y) in pixels of the image.
        points: ``(L, h*P, 2)`` as (x, y) in pixels of the image, by level.
        weights: ``(L, h*P)``; those of a head sum to 1 over levels and points.
    """

    place: tuple[float, float]
    points: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class FeatureTrace:
    """What happened in a backbone, for one image.

    Attributes:
        size: height and width of the image in pixels.
        strides: of the maps, those of the backbone's ``out_indices``.
        with_interaction: the maps of ViT-CoMer, each ``(C, H_l, W_l)``.
        plain: those of the trunk alone, of the same sizes.
        before, after: the convolutional tokens before and after each interaction, each three maps ``(C, H_l, W_l)``.
        queries: by interaction and stage, what its attention was given: offsets and weights of every token.
    """

    size: tuple[int, int]
    strides: tuple[int, ...]
    with_interaction: tuple[Tensor, ...]
    plain: tuple[Tensor, ...]
    before: tuple[tuple[Tensor, ...], ...]
    after: tuple[tuple[Tensor, ...], ...]
    queries: dict[tuple[int, Stage], tuple[Tensor, Tensor, int]]

    def samples(self, x: float, y: float, level: int = 1, interaction: int = 0, stage: Stage = "to_c") -> Samples:
        """Return where the attention of the token at a place of the image looks.

        Args:
            x, y: in pixels of the image.
            level: of the query: 0, 1 or 2 for strides 8, 16 and 32.
            interaction: which one.
            stage: ``to_v``, before the ViT's blocks, or ``to_c``, after them.

        Raises:
            IndexError: there is no such place, level, or attention.
        """
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise IndexError(f"({x}, {y}) is not in the image of {width} x {height} pixels")
        if level not in range(len(LEVEL_STRIDES)):
            raise IndexError(f"level={level}: there are 0, 1 and 2, of strides 8, 16 and 32")
        if (interaction, stage) not in self.queries:
            there = ", ".join(f"{number} {name}" for number, name in self.queries)
            raise IndexError(f"interaction {interaction} has no attention {stage!r}: there are {there}")
        offsets, logits, heads = self.queries[interaction, stage]
        rows, columns = (-(-side // 32) * 2 for side in self.size)  # at stride 16, as they were filled up
        levels = token_levels(rows, columns, offsets)
        stride = LEVEL_STRIDES[level]
        row, column = int(y // stride), int(x // stride)
        first = sum(h * w for h, w in levels.sizes[:level])
        token = first + row * levels.sizes[level][1] + column
        reference = levels.reference_points[0, token, 0]  # (x, y) in [0, 1] of what was filled up
        count = len(levels.sizes)
        moves = offsets[token].view(heads, count, -1, 2) / levels.spatial_shapes.flip(-1)[:, None]
        weights = logits[token].view(heads, -1).softmax(-1).view(heads, count, -1)
        whole = torch.tensor([columns * 16.0, rows * 16.0])
        points = ((reference + moves) * whole).transpose(0, 1).flatten(1, 2)  # (L, h*P, 2)
        return Samples(tuple((reference * whole).tolist()), points.numpy(), weights.transpose(0, 1).flatten(1).numpy())


def shrunk(backbone: nn.Module, image: Tensor) -> Tensor:
    """Return an image as a backbone can take it in one piece: as it is, or smaller with the same shape.

    BEiT's blocks without windows have biases for the offsets in maps up to the size of their tables.

    Args:
        backbone: of any kind.
        image: (1, 3, h, w).
    """
    tables = [
        one.table_size
        for one in backbone.modules()
        if isinstance(one, BeitAttention) and not isinstance(one, BeitWindowAttention)
    ]
    longest = max(image.shape[-2:])
    most = min(tables) * PATCH_SIZE // DIVISOR * DIVISOR if tables else longest  # sides are filled up to the divisor
    if longest <= most:
        return image
    size = [max(1, side * most // longest) for side in image.shape[-2:]]
    return nn.functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


@torch.no_grad()
def trace_features(backbone: ViTCoMer, image: Tensor) -> FeatureTrace:
    """Run a backbone with and without its interactions.

    Args:
        backbone: in evaluation.
        image: (1, 3, h, w), normalised as the backbone expects it.

    Raises:
        TypeError: the backbone is no ViTCoMer, so that there is nothing to compare.
    """
    if not isinstance(backbone, ViTCoMer):
        raise TypeError(f"{type(backbone).__name__} has no interactions to look at; a ViTCoMer has")
    before, after, queries = [], [], {}

    size = tuple(image.shape[-2:])

    def keep(_: nn.Module, inputs: tuple, outputs: tuple) -> None:
        _, c, _, levels = inputs
        for tokens, kept in ((c, before), (outputs[1], after)):
            maps = zip(levels.maps(tokens), LEVEL_STRIDES, strict=True)
            kept.append(tuple(cut(one, *size, stride)[0].cpu() for one, stride in maps))

    with _hooked([(one, keep) for one in backbone.interactions]), _queries_kept(backbone, queries):
        maps = backbone(image)[1 if backbone.out_x else 0 :]  # without the ViT's own
    return FeatureTrace(
        size,
        tuple(STRIDES[k] for k in backbone.out_indices),
        tuple(one[0].cpu() for one in maps),
        plain_maps(backbone, image),
        tuple(before),
        tuple(after),
        queries,
    )


@torch.no_grad()
def plain_maps(backbone: ViTCoMer, image: Tensor) -> tuple[Tensor, ...]:
    """Return the trunk's maps after each quarter without any interaction, enlarged to the strides of ViT-CoMer's.

    Where there are no four interactions, the maps are those after the ones that end such parts of their number.

    Args:
        backbone: whose trunk runs.
        image: (1, 3, h, w).

    Returns:
        Maps (C, ceil(h/s), ceil(w/s)), one for each of the backbone's ``out_indices``.
    """
    height, width = image.shape[-2:]
    tokens, rows, columns = backbone.embed(padded(image))
    stages = []
    for first, last in backbone.interaction_spans:
        tokens = backbone.run_blocks(tokens, rows, columns, first, last)
        stages.append(to_map(tokens, rows, columns))
    maps = []
    for k in backbone.out_indices:
        stride, stage = STRIDES[k], stages[ceil((k + 1) * len(stages) / len(STRIDES)) - 1]
        sides = rows * 16 // stride, columns * 16 // stride
        resized = nn.functional.interpolate(stage, sides, mode="bilinear", align_corners=False)
        maps.append(cut(resized, height, width, stride)[0].cpu())
    return tuple(maps)


def principal_colours(features: Tensor) -> np.ndarray:
    """Return a map as colours: its first three principal components as red, green and blue.

    Args:
        features: ``(C, H, W)``, C at least 3.

    Returns:
        ``(H, W, 3)`` float32 in [0, 1].
    """
    values = features.flatten(1).T.double().numpy()  # (H*W, C)
    values = values - values.mean(0)
    _, vectors = np.linalg.eigh(values.T @ values)
    vectors = vectors[:, ::-1][:, :3]  # the largest first
    largest = np.abs(vectors).argmax(0)
    vectors = vectors * np.sign(vectors[largest, range(3)])  # a sign that does not depend on the machine
    components = values @ vectors
    low, high = np.percentile(components, _SPREAD, axis=0)
    scaled = (components - low) / np.maximum(high - low, 1e-12)
    return scaled.clip(0, 1).reshape(*features.shape[1:], 3).astype(np.float32)


@contextmanager
def _queries_kept(backbone: ViTCoMer, found: dict) -> Iterator[None]:
    """Keep every attention's offsets and weights before the softmax, by interaction and stage."""

    def keeper(key: tuple[int, Stage], place: int, heads: int) -> Callable:
        def keep(_: nn.Module, __: tuple, output: Tensor) -> None:
            # The operator's module calls offsets before weights.
            known = found.get(key, (None, None, heads))
            found[key] = (*known[:place], output[0].float().cpu(), *known[place + 1 :])

        return keep

    hooks = []
    for number, interaction in enumerate(backbone.interactions):
        to_c = getattr(interaction.cti_toc, "cfinter", None)
        for stage, part in (("to_v", interaction.cti_tov), ("to_c", to_c)):
            if part is not None:
                key, heads = (number, stage), part.attn.num_heads
                hooks.append((part.attn.sampling_offsets, keeper(key, 0, heads)))
                hooks.append((part.attn.attention_weights, keeper(key, 1, heads)))
    with _hooked(hooks):
        yield


@contextmanager
def _hooked(hooks: Sequence[tuple[nn.Module, Callable]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
