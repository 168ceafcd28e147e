"""ViT-CoMer: a plain ViT beside a convolutional branch, with exchange between them at each quarter of its depth.

Paper: "ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction for Dense Predictions" (CVPR
2024, arXiv 2403.07392). Official code: Traffic-X/ViT-CoMer, main @ b57f386 and Co-DETR @ 8f2207f (Apache-2.0), whose
parameter names of the main branch are kept. Changed here: one class for its three variants, images of any size, and the
exchange can be computed again in the backward pass too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from mm_vit_comer.models.beit import beit_blocks
from mm_vit_comer.models.interaction import Interaction
from mmrepro.dense.interaction_sizes import InteractionSizes
from mmrepro.dense.plain_vit import vit_blocks
from mmrepro.dense.two_branch_vit import PATCH_SIZE, WINDOW, TwoBranchViT, arch_of, interaction_spans

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
class ViTCoMer(TwoBranchViT):
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
        size, name = arch_of(arch, ARCHS)
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
        spans = interaction_spans(interaction_indexes, depth)
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

        def make_interactions() -> list[nn.Module]:
            return [
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
            ]

        super().__init__(
            embed_dim,
            made,
            spans,
            make_interactions,
            pretrain_size,
            class_row=trunk == "vit",
            add_vit_feature=add_vit_feature,
            conv_inplane=conv_inplane,
            out_indices=out_indices,
            out_x=preset.out_x if out_x is None else out_x,
            with_cp=with_cp,
            norm_cfg=norm_cfg,
            init_cfg=init_cfg,
        )
        self.variant = variant


def _per_interaction(name: str, given: bool | Sequence[bool], count: int) -> list[bool]:
    flags = [given] * count if isinstance(given, bool) else list(given)
    if len(flags) != count:
        raise ValueError(f"{name} has {len(flags)} entries for {count} interactions: give one for each")
    return flags
