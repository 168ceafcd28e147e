"""ViT-Adapter with Meta-Transformer's encoder as its ViT: the backbone of segmentation and detection.

Papers: Meta-Transformer (arXiv 2307.10802) and ViT-Adapter (arXiv 2205.08534). Official code:
invictus717/MetaTransformer @ b08a2be (Apache-2.0), vit_adapter.py of Image/segmentation and Image/detection, whose
parameter names are kept. Changed here: one class for both, images of any size, and a large encoder that runs: the
official one's patches of 14 pixels fit neither its position table nor its reference points, which count in 16, so ours
has patches of 16 and :class:`~mm_meta_transformer.dense.pretrained.PretrainedMetaViT` resizes the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from mm_meta_transformer.dense.adapter_interaction import AdapterInteraction
from mmrepro.dense.interaction_sizes import InteractionSizes
from mmrepro.dense.plain_vit import vit_blocks
from mmrepro.dense.two_branch_vit import WINDOW, TwoBranchViT, arch_of, interaction_spans

ARCHS: dict[str, dict[str, Any]] = {
    "base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
}
DROP_PATH = {"base": 0.3, "large": 0.4, "dict": 0.0}
EXTRA_EXTRACTORS = 2  # of the last interaction


@dataclass(frozen=True)
class Variant:
    """What the network of a task has where nothing else is asked for.

    Attributes:
        add_vit_feature: see :class:`ViTAdapterMeta`.
        windows: whether the blocks attend in windows, but for each interaction's last block.
    """

    add_vit_feature: str
    windows: bool


VARIANTS = {"seg": Variant("stages", windows=False), "det": Variant("last", windows=True)}


@MODELS.register_module()
class ViTAdapterMeta(TwoBranchViT):
    """The backbone: images (B, 3, h, w) to four maps of C channels at strides 4, 8, 16 and 32.

    ``arch`` and ``variant`` choose a published network; what is given besides takes the place of the preset's value.

    Args:
        arch: ``base``, ``large``, or a dictionary with ``embed_dim``, ``depth``, ``num_heads`` and optionally
            ``mlp_ratio``.
        variant: ``seg`` adds the ViT's map after each interaction to the result of its place and has no windows,
            ``det`` adds the ViT's last map to all four and has windows of 14 tokens.
        add_vit_feature: ``last``, ``stages``, or None for none; by default the variant's.
        interaction_indexes: first and last block of each interaction; by default equal quarters.
        window_attn: whether blocks attend inside windows, for all or for each; by default the variant's.
        window_size: side of windows in tokens, for all or for each.
        use_extra_extractor: whether two further extractors follow the last interaction.
        layer_scale: whether the ViT's blocks have ``gamma1`` and ``gamma2``, which begin at 1.
        deform_num_heads: heads of the deformable attention; by default those of the ViT.
        n_points: points that a head samples in each level.
        deform_ratio: width of its values, divided by C.
        cffn_ratio: width inside the extractors' convolutional FFNs, divided by C.
        drop_path_rate: stochastic depth of the ViT's last block; it grows to that from 0. Extractors have it in full.
            By default 0.3 for ``base``, 0.4 for ``large``.
        pretrain_size: side in pixels of the pictures that the position table is made for, in patches of 16: 224 for
            the public encoders of both sizes (16 x 16 positions of a ViT with patches of 14 are resized to 14 x 14).
        init_values: where ``gamma`` of the injectors begins; 0 spares a pre-trained ViT at the start.
        conv_inplane: channels of the convolutional branch at stride 4.
        out_indices: which of the four maps to return, in rising order; layers that only others need are not made.
        with_cp: in training compute blocks and exchanges again in the backward pass instead of keeping activations.
        norm_cfg: of the convolutional branch and of the results. The published ``SyncBN`` is plain batch norm outside
            distributed training; distributed training on the CPU needs another one, ``BN`` or ``GN``.
        init_cfg: as in every mmengine model; ``dict(type='PretrainedMetaViT', checkpoint=...)`` fills the ViT.
            Without it the ViT's positions begin at 0 and its layers as torch draws them.

    Raises:
        ValueError: arguments are unknown, or contradict each other.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "base",
        variant: str = "seg",
        add_vit_feature: str | None = "preset",
        interaction_indexes: Sequence[Sequence[int]] | None = None,
        window_attn: bool | Sequence[bool] | None = None,
        window_size: int | Sequence[int | None] = WINDOW,
        use_extra_extractor: bool = True,
        layer_scale: bool = True,
        deform_num_heads: int | None = None,
        n_points: int = 4,
        deform_ratio: float = 0.5,
        cffn_ratio: float = 0.25,
        drop_path_rate: float | None = None,
        pretrain_size: int = 224,
        init_values: float = 0.0,
        conv_inplane: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        size, name = arch_of(arch, ARCHS)
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r} is unknown; there are {', '.join(map(repr, VARIANTS))}")
        preset = VARIANTS[variant]
        rate = DROP_PATH[name] if drop_path_rate is None else drop_path_rate
        spans = interaction_spans(interaction_indexes, size["depth"])
        if window_attn is None:
            ends = {last for _, last in spans}
            window_attn = [preset.windows and i not in ends for i in range(size["depth"])]
        blocks = vit_blocks(
            **size, drop_path_rate=rate, window_attn=window_attn, window_size=window_size, layer_scale=layer_scale
        )
        heads = deform_num_heads or size["num_heads"]
        sizes = InteractionSizes(size["embed_dim"], heads, n_points, deform_ratio, cffn_ratio, rate)

        def make_interactions() -> list[nn.Module]:
            extra = [0] * (len(spans) - 1) + [EXTRA_EXTRACTORS if use_extra_extractor else 0]
            return [AdapterInteraction(sizes, count, init_values, with_cp) for count in extra]

        super().__init__(
            size["embed_dim"],
            blocks,
            spans,
            make_interactions,
            pretrain_size,
            add_vit_feature=preset.add_vit_feature if add_vit_feature == "preset" else add_vit_feature,
            conv_inplane=conv_inplane,
            out_indices=out_indices,
            with_cp=with_cp,
            norm_cfg=norm_cfg,
            init_cfg=init_cfg,
        )
        self.invisible_settings = dict(
            add_vit_feature=self.add_vit_feature,
            windows=[getattr(block.attn, "window_size", None) for block in self.blocks],
            num_heads=size["num_heads"],
            n_points=n_points,
        )
