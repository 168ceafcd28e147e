"""The Swin Transformer with [DET] tokens that ViDT detects with (arXiv 2110.03921)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from mmdet.models.layers import PatchEmbed
from mmdet.registry import MODELS
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from mm_vidt.models.body_output import BodyOutput
from mm_vidt.models.ram import RAMStage, WindowDetAttention, cross_mask

ARCHS: dict[str, dict[str, Any]] = {
    "nano": dict(embed_dims=48, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), drop_path_rate=0.0),
    "tiny": dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), drop_path_rate=0.2),
    "small": dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), drop_path_rate=0.3),
    "base": dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), drop_path_rate=0.3),
    "large": dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), drop_path_rate=0.3),
}
STAGES = 4
WINDOW = 7


@MODELS.register_module()
class ViDTSwinTransformer(BaseModule):
    """Swin Transformer whose attention also takes [DET] tokens, the reconfigured attention module.

    Maps leave as the stages' blocks made them: no norm, before the merging.

    Args:
        arch: a name of ``ARCHS``, or a dict of ``embed_dims``, ``depths``, ``num_heads`` and ``drop_path_rate``.
        num_det_tokens: N.
        cross_stages: numbers of the stages, from 0, in which [DET] tokens attend to patches.
        det_pos_dims: channels of the tokens' position embedding, and of the map after the last merging.
        last_merging: give a fourth map of stride 64.
        drop_path_rate: stochastic depth of the last block; None takes that of the arch.
        with_cp: recompute each block in the backward pass instead of keeping what it computed.
        init_cfg: ``dict(type='PretrainedSwinBody', checkpoint=...)`` loads an ImageNet file of a Swin Transformer.

    Attributes:
        out_channels: channels of the maps.
        det_channels: channels of the [DET] tokens at the end.

    Raises:
        ValueError: the arch is unknown, or a cross stage does not exist.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "nano",
        num_det_tokens: int = 100,
        cross_stages: Sequence[int] = (3,),
        det_pos_dims: int = 256,
        last_merging: bool = True,
        drop_path_rate: float | None = None,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        settings = arch_settings(arch, ARCHS)
        cross = check_cross_stages(cross_stages)
        depths, heads = settings["depths"], settings["num_heads"]
        widths = [settings["embed_dims"] * 2**stage for stage in range(STAGES)]
        rate = settings["drop_path_rate"] if drop_path_rate is None else drop_path_rate
        rates = [rate * block / max(sum(depths) - 1, 1) for block in range(sum(depths))]
        bounds = [0, *accumulate(depths)]
        merged = [*widths[1:], det_pos_dims if last_merging else None]
        self.patch_embed = PatchEmbed(3, widths[0], kernel_size=4, stride=4, norm_cfg=dict(type="LN"))
        self.stages = nn.ModuleList(
            RAMStage(
                widths[stage],
                heads[stage],
                WINDOW,
                stage in cross,
                rates[start:stop],
                merged[stage],
                det_pos_dims,
                with_cp,
            )
            for stage, (start, stop) in enumerate(pairwise(bounds))
        )
        self.det_token = nn.Parameter(torch.zeros(1, num_det_tokens, widths[0]))
        self.det_pos_embed = nn.Parameter(torch.zeros(1, num_det_tokens, det_pos_dims))
        self.cross_stages, self.last_merging = cross, last_merging
        self.out_channels = [*widths[1:], *([det_pos_dims] if last_merging else [])]
        self.det_channels = widths[-1]

    def init_weights(self) -> None:
        """Draw as the official code does, then follow ``init_cfg``."""
        for module in self.modules():
            if isinstance(module, WindowDetAttention):
                nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
        init_body(self)

    def forward(self, images: Tensor, padding_mask: Tensor) -> BodyOutput:
        """Compute maps and [DET] tokens.

        Args:
            images: ``(B, 3, H, W)`` of any size, padded with zeros to the right and below.
            padding_mask: ``(B, H, W)``, True is padding.

        Raises:
            ValueError: the mask is not of the images' size.
        """
        check_padding_mask(images, padding_mask)
        patches, size = self.patch_embed(images)
        mask = cross_mask(padding_mask, size, len(self.cross_stages))
        det, maps = self.det_token, []  # one set, until a stage tells images apart
        for number, stage in enumerate(self.stages):
            patches, det = stage(patches, det, self.det_pos_embed, size, mask)
            if number > 0:
                maps.append(to_map(patches, size))
            if stage.downsample is not None:
                patches, size = stage.downsample(patches, size)
                if number < STAGES - 1:
                    det = stage.downsample.merge_det(det)
                else:
                    maps.append(to_map(patches, size))
        return BodyOutput(tuple(maps), det.expand(images.shape[0], -1, -1), self.det_pos_embed)


def arch_settings(arch: str | Mapping[str, Any], archs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the settings of an arch.

    Raises:
        ValueError: no arch has that name, or a setting is missing, unknown or does not have one entry per stage.
    """
    if isinstance(arch, str):
        if arch not in archs:
            raise ValueError(f"arch={arch!r} is unknown. Fix: one of {', '.join(archs)}, or a dict of settings")
        return archs[arch]
    names = next(iter(archs.values()))
    if set(arch) != set(names):
        raise ValueError(f"arch has {', '.join(arch)}. Fix: give {', '.join(names)}")
    for name, value in names.items():
        if isinstance(value, tuple) and len(arch[name]) != STAGES:
            raise ValueError(f"arch: {name}={arch[name]} needs one entry for each of {STAGES} stages")
    return arch


def check_cross_stages(cross_stages: Sequence[int]) -> set[int]:
    """Return the numbers of cross stages.

    Raises:
        ValueError: there is no such stage.
    """
    if not set(cross_stages) <= set(range(STAGES)):
        raise ValueError(f"cross_stages={tuple(cross_stages)}: stages are 0 to {STAGES - 1}")
    return set(cross_stages)


def check_padding_mask(images: Tensor, padding_mask: Tensor) -> None:
    """Refuse a mask that is not of the images' size.

    Raises:
        ValueError: it is not.
    """
    if (images.shape[0], *images.shape[2:]) != tuple(padding_mask.shape):
        raise ValueError(
            f"images {tuple(images.shape)} need a padding mask (B, H, W) of their size, got {tuple(padding_mask.shape)}"
        )


def init_body(body: BaseModule) -> None:
    """Draw linear layers and [DET] tokens as the official code does, then follow the body's ``init_cfg``.

    Convolutions, norms and the tokens' ``det_pos_linear`` keep what torch gives them.
    """
    for name, module in body.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith("det_pos_linear"):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for token in (body.det_token, body.det_pos_embed):
        nn.init.trunc_normal_(token, std=0.02)
    if body.init_cfg is not None:
        initialize(body, body.init_cfg)


def to_map(patches: Tensor, size: tuple[int, int]) -> Tensor:
    """View patches ``(B, h*w, C)`` as a map ``(B, C, h, w)``."""
    return patches.unflatten(1, size).permute(0, 3, 1, 2)
