"""ViT-CoMer: a plain ViT beside a convolutional branch, with exchange between them at each quarter of its depth.

Paper: "ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction for Dense Predictions" (CVPR
2024, arXiv 2403.07392). Official code: Traffic-X/ViT-CoMer, main @ b57f386 and Co-DETR @ 8f2207f (Apache-2.0), whose
parameter names of the main branch are kept. Changed here: one class for its three variants, images of any size, and the
exchange can be computed again in the backward pass too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_vit_comer.models.beit import beit_blocks
from mm_vit_comer.models.image_padding import cut, padded
from mm_vit_comer.models.interaction import Interaction, InteractionSizes
from mm_vit_comer.models.spatial_prior import SpatialPrior
from mm_vit_comer.models.token_levels import TokenLevels, to_map, token_levels
from mm_vit_comer.models.vit import VisionTransformerTrunk, vit_blocks
from mmrepro.ops import MultiScaleDeformableAttention

PATCH_SIZE = 16  # the convolutional branch fits no other
STRIDES = (4, 8, 16, 32)
WINDOW = 14  # tokens along the side of the published windows
ARCHS: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 192, "depth": 12, "num_heads": 3},
    "small": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    "base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
}
ARCH_DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {"deform_num_heads": 6, "deform_ratio": 1.0, "drop_path_rate": 0.1},
    "small": {"deform_num_heads": 6, "deform_ratio": 1.0, "drop_path_rate": 0.2},
    "base": {"deform_num_heads": 12, "deform_ratio": 0.5, "drop_path_rate": 0.3},
    "large": {"deform_num_heads": 16, "deform_ratio": 0.5, "drop_path_rate": 0.3},
    "dict": {"deform_num_heads": 6, "deform_ratio": 1.0, "drop_path_rate": 0.0},
}


@dataclass(frozen=True)
class Variant:
    """What one of the published networks has where nothing else is asked for.

    Attributes:
        trunk, add_vit_feature, pretrain_size, out_x, mrfp_ratio: see :class:`ViTCoMer`.
        windows: side in tokens of the blocks' windows, and of those in each interaction's last block; None for none.
        mrfp_ratios: of the sizes that have another one.
    """

    trunk: str
    add_vit_feature: str
    pretrain_size: int | None
    windows: tuple[int | None, int | None]
    out_x: bool = False
    mrfp_ratio: float = 0.5
    mrfp_ratios: Mapping[str, float] = field(default_factory=dict)


VARIANTS = {
    "det": Variant("vit", "last", 592, (WINDOW, None)),
    # The large one's 6 follows from the size that is reported for Mask2Former, whose backbone was not released.
    "seg": Variant("vit", "stages", 224, (None, None), mrfp_ratio=6.0, mrfp_ratios={"small": 1.5, "base": 1.0}),
    "co-detr": Variant("beit", "last", None, (WINDOW, 56), out_x=True),
}


@MODELS.register_module()
class ViTCoMer(VisionTransformerTrunk):
    """The backbone: images (B, 3, h, w) to four maps of C channels at strides 4, 8, 16 and 32.

    The authors published three networks under this name. ``arch`` and ``variant`` choose one; what is given besides
    takes the place of the preset's value.

    Args:
        arch: ``tiny``, ``small``, ``base``, ``large``, or a dictionary with ``embed_dim``, ``depth``, ``num_heads`` and
            optionally ``mlp_ratio``.
        variant: ``det`` (main branch, detection), ``seg`` (main branch, segmentation) or ``co-detr`` (branch Co-DETR).
        trunk: ``vit``, or ``beit``: without position table, with relative positions in its attention.
        mrfp_ratio: width inside the MRFP, divided by C. By default 0.5; in ``seg`` 1.5 for ``small``, 1 for ``base``, 6
            for every other size, dictionaries too.
        add_vit_feature: which maps of the ViT are added to the results: ``last``, the final one four times;
            ``stages``, those after the four interactions; None, none.
        use_cti_to_v, use_cti_to_c, cnn_feature_interaction: switches of the interactions, for all or for each.
        use_extra_cti: whether the last interaction ends with further exchanges.
        extra_num: how many.
        interaction_indexes: first and last block of each interaction; by default equal quarters.
        window_attn: whether blocks attend inside windows, for all or for each.
        window_size: side of windows in tokens, for all or for each. By default ``det`` has windows of 14 except in each
            interaction's last block, ``seg`` none, ``co-detr`` 14 and in each interaction's last block 56.
        pretrain_size: side in pixels that the position table is made for: 592 in ``det`` for DINOv2 (224 for DeiT),
            otherwise 224; None, as with BEiT, for no table.
        img_size: side in pixels of the largest image that BEiT's blocks without windows can see: their tables of
            relative positions are for it. A plain ViT does not read it.
        init_values: where ``gamma`` of the exchange into the ViT begins, and BEiT's layer scales. By default 0 with a
            plain ViT, so that it begins as it was trained, and 1e-6 with BEiT.
        conv_inplane: channels of the convolutional branch at stride 4.
        n_points: points that a head of the deformable attention samples in each level.
        deform_num_heads: its heads.
        deform_ratio: width of its values, divided by C.
        cffn_ratio: width inside the convolutional FFNs, divided by C.
        drop_path_rate: stochastic depth of the last block; it grows to that from 0. Interactions have it in full.
        out_indices: which of the four maps to return, 0 for stride 4 to 3 for stride 32, in this order; layers that
            only others need are not made.
        out_x: return the final map of the ViT (B, C, h/16, w/16) too, before the four. It is a map with
            ``add_vit_feature='stages'`` too, where Co-DETR's ``version='old'`` leaves it as tokens (B, H*W, C).
        with_cp: in training compute the ViT's blocks again in the backward pass instead of keeping their activations.
        cti_with_cp: the same for the exchanges, which keep more.
        norm_cfg: of the convolutional branch and of the results. ``SyncBN`` is plain batch norm outside distributed
            training; distributed training on the CPU needs another one, ``BN`` or ``GN``.
        mrfp_norm_cfg: of the MRFP. The official ``BN`` sees one GPU's images only; ``SyncBN`` sees all, and ``GN`` with
            ``norm_cfg`` too makes training independent of the batch.
        init_cfg: as in every mmengine model; ``dict(type='PretrainedViT', checkpoint=...)`` fills the trunk.

    Raises:
        ValueError: arguments are unknown, or contradict each other.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "small",
        variant: str = "det",
        trunk: str | None = None,
        mrfp_ratio: float | None = None,
        add_vit_feature: str | None = "preset",
        use_cti_to_v: bool | Sequence[bool] = True,
        use_cti_to_c: bool | Sequence[bool] = True,
        cnn_feature_interaction: bool | Sequence[bool] = True,
        use_extra_cti: bool = True,
        extra_num: int = 4,
        interaction_indexes: Sequence[Sequence[int]] | None = None,
        window_attn: bool | Sequence[bool] | None = None,
        window_size: int | Sequence[int | None] | None = None,
        pretrain_size: int | str | None = "preset",
        img_size: int = 896,
        init_values: float | None = None,
        conv_inplane: int = 64,
        n_points: int = 4,
        deform_num_heads: int | None = None,
        deform_ratio: float | None = None,
        cffn_ratio: float = 0.25,
        drop_path_rate: float | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_x: bool | None = None,
        with_cp: bool = False,
        cti_with_cp: bool = False,
        norm_cfg: dict | None = None,
        mrfp_norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        size, name = _size(arch)
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r} is unknown; there are {', '.join(map(repr, VARIANTS))}")
        preset, by_size = VARIANTS[variant], ARCH_DEFAULTS[name]
        trunk = preset.trunk if trunk is None else trunk
        if trunk not in ("vit", "beit"):
            raise ValueError(f"trunk={trunk!r} is unknown; there are 'vit' and 'beit'")
        if pretrain_size == "preset":
            pretrain_size = None if trunk == "beit" else preset.pretrain_size
        if add_vit_feature == "preset":
            add_vit_feature = preset.add_vit_feature
        if drop_path_rate is None:
            drop_path_rate = by_size["drop_path_rate"]
        if init_values is None:
            init_values = 1e-6 if trunk == "beit" else 0.0
        embed_dim, depth = size["embed_dim"], size["depth"]
        spans = _interaction_spans(interaction_indexes, depth)
        _check_added(add_vit_feature, len(spans))
        blocks = dict(size, drop_path_rate=drop_path_rate)
        ends = {last for _, last in spans}
        windows = [preset.windows[i in ends] for i in range(depth)]
        blocks["window_attn"] = [side is not None for side in windows] if window_attn is None else window_attn
        blocks["window_size"] = [side or WINDOW for side in windows] if window_size is None else window_size
        made = (
            vit_blocks(**blocks)
            if trunk == "vit"
            else beit_blocks(**blocks, init_values=init_values, img_size=img_size, patch_size=PATCH_SIZE)
        )
        super().__init__(
            embed_dim, made, PATCH_SIZE, pretrain_size, class_row=trunk == "vit", with_cp=with_cp, init_cfg=init_cfg
        )
        self.variant = variant
        self.add_vit_feature = add_vit_feature
        self.out_x = preset.out_x if out_x is None else out_x
        self.interaction_spans = spans
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
        sizes = InteractionSizes(
            embed_dim,
            deform_num_heads or by_size["deform_num_heads"],
            n_points,
            by_size["deform_ratio"] if deform_ratio is None else deform_ratio,
            cffn_ratio,
            drop_path_rate,
        )
        if mrfp_ratio is None:
            mrfp_ratio = preset.mrfp_ratios.get(name, preset.mrfp_ratio)
        to_v = _per_interaction("use_cti_to_v", use_cti_to_v, len(spans))
        to_c = _per_interaction("use_cti_to_c", use_cti_to_c, len(spans))
        among = _per_interaction("cnn_feature_interaction", cnn_feature_interaction, len(spans))
        self.interactions = nn.ModuleList(
            Interaction(
                sizes,
                # Only the official detection code leaves out an MRFP that nothing reads.
                int(mrfp_ratio * embed_dim) if to_v[k] or variant != "det" else None,
                to_v[k],
                to_c[k],
                among[k],
                extra_num if use_extra_cti and k == len(spans) - 1 else 0,
                init_values,
                mrfp_norm_cfg,
                cti_with_cp,
            )
            for k in range(len(spans))
        )
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


def _resized(vit_map: Tensor, stride: int) -> Tensor:
    """Return a map of the ViT, which is at stride 16, at another stride."""
    if stride > PATCH_SIZE:
        return F.avg_pool2d(vit_map, 2)  # the official bilinear halving without aligned corners
    if stride == PATCH_SIZE:
        return vit_map
    return F.interpolate(vit_map, scale_factor=PATCH_SIZE // stride, mode="bilinear", align_corners=False)


def _size(arch: str | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what :func:`vit_blocks` needs to know of the size, and under which name its defaults stand."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f"arch={arch!r} is unknown; there are {', '.join(map(repr, ARCHS))}, or give a dictionary")
        return dict(ARCHS[arch]), arch
    needed = {"embed_dim", "depth", "num_heads"}
    if not needed <= set(arch) <= needed | {"mlp_ratio"}:
        raise ValueError(
            f"arch has the keys {', '.join(sorted(arch))}; it needs embed_dim, depth and num_heads, and may have "
            "mlp_ratio. Everything else is an argument of its own"
        )
    return dict(arch), "dict"


def _interaction_spans(given: Sequence[Sequence[int]] | None, depth: int) -> tuple[tuple[int, int], ...]:
    """Return first and last block of each interaction, by default of equal quarters."""
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


def _per_interaction(name: str, given: bool | Sequence[bool], count: int) -> list[bool]:
    flags = [given] * count if isinstance(given, bool) else list(given)
    if len(flags) != count:
        raise ValueError(f"{name} has {len(flags)} entries for {count} interactions: give one for each")
    return flags


def _check_added(add_vit_feature: str | None, count: int) -> None:
    if add_vit_feature not in ("last", "stages", None):
        raise ValueError(f"add_vit_feature={add_vit_feature!r} is unknown; there are 'last', 'stages' and None")
    if add_vit_feature == "stages" and count != len(STRIDES):
        raise ValueError(
            f"add_vit_feature='stages' gives each of the {len(STRIDES)} results the map after one interaction, and "
            f"there are {count} interactions: give as many, or 'last'"
        )
