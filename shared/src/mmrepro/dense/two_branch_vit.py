"""A plain ViT beside a convolutional branch, with exchanges between them along its depth, that gives four maps.

Source: ViT-Adapter (arXiv 2205.08534, section 3) and ViT-CoMer (arXiv 2403.07392), which has its frame and other
exchanges. Parameters have the official names of both. Changed here: images of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmrepro.dense.image_padding import cut, padded
from mmrepro.dense.plain_vit import VisionTransformerTrunk
from mmrepro.dense.spatial_prior import SpatialPrior
from mmrepro.dense.token_levels import TokenLevels, to_map, token_levels
from mmrepro.ops import MultiScaleDeformableAttention

PATCH_SIZE = 16  # the convolutional branch fits no other
STRIDES = (4, 8, 16, 32)
WINDOW = 14  # tokens along the side of the published windows


class TwoBranchViT(VisionTransformerTrunk):
    """The frame of such a backbone: images (B, 3, h, w) to maps of C channels at strides 4, 8, 16 and 32.

    Args:
        embed_dim: width C.
        blocks: of the trunk.
        spans: first and last block of each interaction, see :func:`interaction_spans`.
        make_interactions: makes the interactions, in order, once trunk and convolutional branch are made; each is
            called as ``interaction(x, c, blocks, levels)`` and returns x and c, where x are the trunk's tokens
            (B, HW, C), c those of the convolutional branch (B, N, C), ``blocks`` is what lies between the exchanges and
            ``levels`` a :class:`~mmrepro.dense.token_levels.TokenLevels`.
        pretrain_size: side in pixels that the position table is made for; None for no table.
        class_row: whether the table begins with a row for a class token.
        add_vit_feature: which maps of the ViT are added to the results: ``last``, the final one four times;
            ``stages``, those after the four interactions; None, none.
        conv_inplane: channels of the convolutional branch at stride 4.
        out_indices: which of the four maps to return, 0 for stride 4 to 3 for stride 32, in this order; layers that
            only others need are not made.
        out_x: return the final map of the ViT (B, C, h/16, w/16) too, before the four.
        with_cp: in training compute the ViT's blocks again in the backward pass instead of keeping their activations.
        norm_cfg: of the convolutional branch and of the results, by default ``SyncBN``.
        init_cfg: as in every mmengine model.

    Raises:
        ValueError: arguments are unknown, or contradict each other.
    """

    def __init__(
        self,
        embed_dim: int,
        blocks: Sequence[nn.Module],
        spans: Sequence[tuple[int, int]],
        make_interactions: Callable[[], Iterable[nn.Module]],
        pretrain_size: int | None = 224,
        class_row: bool = True,
        add_vit_feature: str | None = "last",
        conv_inplane: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_x: bool = False,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        _check_added(add_vit_feature, len(spans))
        super().__init__(
            embed_dim, blocks, PATCH_SIZE, pretrain_size, class_row=class_row, with_cp=with_cp, init_cfg=init_cfg
        )
        self.add_vit_feature = add_vit_feature
        self.out_x = out_x
        self.interaction_spans = tuple(spans)
        self.out_indices = tuple(out_indices)
        # In one order, since a checkpoint shows which maps there are and not how they were sorted.
        if self.out_indices not in [some for n in range(1, 5) for some in combinations(range(4), n)]:
            raise ValueError(
                f"out_indices={self.out_indices} must be some of 0, 1, 2 and 3, the maps at strides 4, 8, 16 and 32, "
                "in rising order and each once"
            )
        norm_cfg = norm_cfg or {"type": "SyncBN"}
        self.level_embed = nn.Parameter(torch.zeros(3, embed_dim))
        self.spm = SpatialPrior(embed_dim, conv_inplane, norm_cfg, finest=0 in self.out_indices)
        self.interactions = nn.ModuleList(make_interactions())
        if 0 in self.out_indices:
            self.up = nn.ConvTranspose2d(embed_dim, embed_dim, 2, stride=2)
        for k in self.out_indices:
            self.add_module(f"norm{k + 1}", build_norm_layer(norm_cfg, embed_dim)[1])
        self._draw_weights()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of ``out_indices`` at strides 4, 8, 16 and 32, with ``out_x`` after the ViT's.

        Args:
            images: (B, 3, h, w) of any size; inside they are filled up with zeros at the bottom and the right to
                multiples of 32.

        Returns:
            Maps (B, C, ceil(h/s), ceil(w/s)) for each stride s.

        Raises:
            ValueError: images have another shape.
        """
        height, width = images.shape[-2:]
        images = padded(images)
        c1, c, levels = self._convolutional_tokens(images)
        x, rows, columns = self.embed(images)
        stages = []
        for (first, last), interaction in zip(self.interaction_spans, self.interactions, strict=True):
            blocks = partial(self.run_blocks, height=rows, width=columns, first=first, last=last)
            x, c = interaction(x, c, blocks, levels)
            stages.append(to_map(x, rows, columns))
        maps = self._results(c1, levels.maps(c), stages)
        strides = tuple(STRIDES[k] for k in self.out_indices)
        if self.out_x:
            maps, strides = (stages[-1], *maps), (16, *strides)
        return tuple(cut(one, height, width, stride) for one, stride in zip(maps, strides, strict=True))

    def _convolutional_tokens(self, images: Tensor) -> tuple[Tensor | None, Tensor, TokenLevels]:
        """Return the branch's map at stride 4, if made, its tokens (B, N, C) at 8, 16 and 32, and where those lie."""
        height, width = (side // 16 for side in images.shape[-2:])
        c1, *maps = self.spm(images)
        tokens = [one.permute(0, 2, 3, 1).flatten(1, 2) + self.level_embed[k] for k, one in enumerate(maps)]
        return c1, torch.cat(tokens, 1), token_levels(height, width, maps[0])

    def _results(self, c1: Tensor | None, maps: Sequence[Tensor], stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        c2, c3, c4 = maps
        results = [None if c1 is None else self.up(c2) + c1, c2, c3, c4]
        if self.add_vit_feature is not None:
            added = stages if self.add_vit_feature == "stages" else (stages[-1],) * 4
            for k in self.out_indices:
                results[k] = results[k] + _resized(added[k], STRIDES[k])
        return tuple(self.get_submodule(f"norm{k + 1}")(results[k]) for k in self.out_indices)

    def _draw_weights(self) -> None:
        """Draw the weights outside the trunk as the official code does."""
        nn.init.normal_(self.level_embed)
        for part in (self.spm, self.interactions, *([self.up] if 0 in self.out_indices else ())):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                    nn.init.zeros_(module.bias)
                elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    reach = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                    nn.init.normal_(module.weight, 0.0, sqrt(2.0 / reach))
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        for module in self.interactions.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()


def arch_of(arch: str | Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], str]:
    """Return what :func:`~mmrepro.dense.plain_vit.vit_blocks` needs of the size, and its name, ``dict`` without one.

    Args:
        arch: a name, or a dictionary with ``embed_dim``, ``depth``, ``num_heads`` and optionally ``mlp_ratio``.
        known: the sizes that have names.

    Raises:
        ValueError: the name is unknown, or the dictionary has other keys.
    """
    if isinstance(arch, str):
        if arch not in known:
            raise ValueError(f"arch={arch!r} is unknown; there are {', '.join(map(repr, known))}, or give a dictionary")
        return dict(known[arch]), arch
    needed = {"embed_dim", "depth", "num_heads"}
    if not needed <= set(arch) <= needed | {"mlp_ratio"}:
        raise ValueError(
            f"arch has the keys {', '.join(sorted(arch))}; it needs embed_dim, depth and num_heads, and may have "
            "mlp_ratio. Everything else is an argument of its own"
        )
    return dict(arch), "dict"


def interaction_spans(given: Sequence[Sequence[int]] | None, depth: int) -> tuple[tuple[int, int], ...]:
    """Return first and last block of each interaction, by default of equal quarters.

    Args:
        given: first and last block of each interaction, or None.
        depth: number of blocks.

    Raises:
        ValueError: they do not cover the blocks in order, or the depth has no quarters.
    """
    if given is None:
        if depth % 4:
            raise ValueError(f"a depth of {depth} has no equal quarters: give interaction_indexes")
        return tuple((k * depth // 4, (k + 1) * depth // 4 - 1) for k in range(4))
    spans = tuple((first, last) for first, last in given)
    blocks = [i for first, last in spans for i in range(first, last + 1)]
    if not spans or blocks != list(range(depth)):
        raise ValueError(
            f"interaction_indexes={list(given)} must cover the blocks 0 to {depth - 1} in order, each of them once"
        )
    return spans


def _resized(vit_map: Tensor, stride: int) -> Tensor:
    """Return a map of the ViT, which is at stride 16, at another stride."""
    if stride > PATCH_SIZE:
        return F.avg_pool2d(vit_map, 2)  # the official bilinear halving without aligned corners
    if stride == PATCH_SIZE:
        return vit_map
    return F.interpolate(vit_map, scale_factor=PATCH_SIZE // stride, mode="bilinear", align_corners=False)


def _check_added(add_vit_feature: str | None, count: int) -> None:
    if add_vit_feature not in ("last", "stages", None):
        raise ValueError(f"add_vit_feature={add_vit_feature!r} is unknown; there are 'last', 'stages' and None")
    if add_vit_feature == "stages" and count != len(STRIDES):
        raise ValueError(
            f"add_vit_feature='stages' gives each of the {len(STRIDES)} results the map after one interaction, and "
            f"there are {count} interactions: give as many, or 'last'"
        )
