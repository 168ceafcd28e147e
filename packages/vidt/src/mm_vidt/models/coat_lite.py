"""CoaT-Lite with [DET] tokens (arXiv 2104.06399 with the attention of 2110.03921). No result is published for it.

A stage has a [CLS] token, a convolutional position encoding and a convolutional relative one, both shared by its
blocks; patches attend by factorised attention, [DET] tokens as in :mod:`mm_vidt.models.ram`. Names of weights are
official.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.layers import SinePositionalEncoding
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_vidt.models.body_output import BodyOutput
from mm_vidt.models.ram import CrossPatches, DetAttention, Size, add_branches, cross_mask, cross_patches
from mm_vidt.models.ram_swin import (
    STAGES,
    arch_settings,
    check_cross_stages,
    check_padding_mask,
    init_body,
    to_map,
)

ARCHS: dict[str, dict[str, Any]] = {
    "tiny": dict(embed_dims=(64, 128, 256, 320), depths=(2, 2, 2, 2), mlp_ratios=(8, 8, 4, 4)),
    "mini": dict(embed_dims=(64, 128, 320, 512), depths=(2, 2, 2, 2), mlp_ratios=(8, 8, 4, 4)),
    "small": dict(embed_dims=(64, 128, 320, 512), depths=(3, 4, 6, 3), mlp_ratios=(8, 8, 4, 4)),
}
HEADS = 8
KERNELS = {3: 2, 5: 3, 7: 3}  # of the relative encoding: side and number of heads


class ConvPatchEmbed(nn.Module):
    """Cut a map into patches by a convolution, then norm them.

    A map of another size is padded with zeros to the right and below. mmdet's ``PatchEmbed`` computes the same, but
    does not have the official names.

    Args:
        in_channels: of the map.
        channels: of a patch.
        side: of a patch.
    """

    def __init__(self, in_channels: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.proj = nn.Conv2d(in_channels, channels, side, side)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        """Return patches ``(B, h*w, channels)``, and h and w."""
        x = self.proj(F.pad(x, (0, -x.shape[3] % self.side, 0, -x.shape[2] % self.side)))
        return self.norm(x.flatten(2).transpose(1, 2)), (x.shape[2], x.shape[3])


class ConvPosEnc(nn.Module):
    """A depthwise convolution, added to the patches; [CLS] passes.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Encode [CLS] and patches ``(B, 1 + h*w, C)``."""
        patches = to_map(tokens[:, 1:], size)
        patches = self.proj(patches) + patches
        return torch.cat([tokens[:, :1], patches.flatten(2).transpose(1, 2)], 1)


class ConvRelPosEnc(nn.Module):
    """Depthwise convolutions of the values, with a side of its own for some of the heads.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.splits = [heads * channels // HEADS for heads in KERNELS.values()]
        self.conv_list = nn.ModuleList(
            nn.Conv2d(part, part, side, padding=side // 2, groups=part)
            for side, part in zip(KERNELS, self.splits, strict=True)
        )

    def forward(self, query: Tensor, value: Tensor, size: Size) -> Tensor:
        """Return the encoding of [CLS], which is zero, and of patches, all ``(B, heads, 1 + h*w, C/heads)``."""
        batch, heads, _, width = value.shape
        maps = value[:, :, 1:].transpose(2, 3).reshape(batch, heads * width, *size)
        parts = zip(self.conv_list, maps.split(self.splits, 1), strict=True)
        maps = torch.cat([conv(part) for conv, part in parts], 1)
        encoding = maps.view(batch, heads, width, -1).transpose(2, 3)
        return F.pad(query[:, :, 1:] * encoding, (0, 0, 1, 0))


class FactorisedAttention(DetAttention):
    """Attention of [CLS] and patches that costs as much as there are of them, and that of [DET] tokens."""

    def attend_patches(self, tokens: Tensor, size: Size, crpe: ConvRelPosEnc) -> Tensor:
        """Attend from [CLS] and patches ``(B, 1 + h*w, C)`` to each other, projected.

        Softmax of the keys goes over tokens, so keys and values meet first: ``q (softmax(k)^T v)``.
        """
        query, key, value = self.split(self.qkv(tokens))
        attended = query @ (key.softmax(2).transpose(2, 3) @ value)
        x = attended * query.shape[-1] ** -0.5 + crpe(query, value, size)
        return self.proj(x.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with GELU between.

    Args:
        channels: C.
        hidden: channels between.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to each token."""
        return self.fc2(F.gelu(self.fc1(x)))


class CoaTBlock(nn.Module):
    """A block of [CLS], patches and [DET] tokens.

    Plain CoaT adds its position encoding before the norm and keeps it in the residual; ViDT encodes what the norm gave.

    Args:
        channels: C.
        mlp_ratio: channels within the MLP, in C.
        det_pos_dims: channels of the position embedding of [DET] tokens.
        drop_path_rate: stochastic depth: one draw per image and residual, for patches and tokens.
        with_cp: recompute the block in the backward pass.
    """

    def __init__(
        self, channels: int, mlp_ratio: int, det_pos_dims: int, drop_path_rate: float = 0.0, with_cp: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.factoratt_crpe = FactorisedAttention(channels, HEADS)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels, mlp_ratio * channels)
        self.det_pos_linear = nn.Linear(det_pos_dims, channels)
        self.drop_path_rate, self.with_cp = drop_path_rate, with_cp

    def forward(
        self,
        patches: Tensor,
        det: Tensor,
        det_pos: Tensor,
        size: Size,
        shared: tuple[ConvPosEnc, ConvRelPosEnc],
        cross: CrossPatches | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the block.

        Args:
            patches: [CLS] and patches ``(B, 1 + h*w, C)``.
            det: ``(B, N, C)``.
            det_pos: ``(1, N, det_pos_dims)``.
            size: h and w.
            shared: the stage's encodings.
            cross: None where the stage is no cross stage.

        Returns:
            [CLS] and patches, and [DET] tokens.
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self._run, patches, det, det_pos, size, shared, cross, use_reentrant=False)
        return self._run(patches, det, det_pos, size, shared, cross)

    def _run(
        self,
        patches: Tensor,
        det: Tensor,
        det_pos: Tensor,
        size: Size,
        shared: tuple[ConvPosEnc, ConvRelPosEnc],
        cross: CrossPatches | None,
    ) -> tuple[Tensor, Tensor]:
        cpe, crpe = shared
        rate, attention = self.drop_path_rate if self.training else 0.0, self.factoratt_crpe
        seen = self.norm1(patches)
        asking = self.norm1(det) + self.det_pos_linear(det_pos)
        attended = (
            attention.attend_patches(cpe(seen, size), size, crpe),
            attention.attend_det(seen[:, 1:], asking, cross),
        )
        patches, det = add_branches((patches, det), attended, rate)
        return add_branches((patches, det), (self.mlp(self.norm2(patches)), self.mlp(self.norm2(det))), rate)


@MODELS.register_module()
class ViDTCoaT(BaseModule):
    """CoaT-Lite whose attention also takes [DET] tokens; maps leave without a norm.

    Args:
        arch: a name of ``ARCHS``, or a dict of ``embed_dims``, ``depths`` and ``mlp_ratios``.
        num_det_tokens: N.
        cross_stages: numbers of the stages, from 0, in which [DET] tokens attend to patches.
        det_pos_dims: channels of the tokens' position embedding, and of the map after the last merging.
        last_merging: give a fourth map of stride 64.
        drop_path_rate: stochastic depth of the last block.
        with_cp: recompute each block in the backward pass instead of keeping what it computed.
        init_cfg: ``dict(type='PretrainedCoaTBody', checkpoint=...)`` loads an ImageNet file of a CoaT-Lite.

    Attributes:
        out_channels: channels of the maps.
        det_channels: channels of the [DET] tokens at the end.

    Raises:
        ValueError: the arch is unknown, or a cross stage does not exist.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "tiny",
        num_det_tokens: int = 100,
        cross_stages: Sequence[int] = (3,),
        det_pos_dims: int = 256,
        last_merging: bool = True,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        settings = arch_settings(arch, ARCHS)
        self.cross_stages = check_cross_stages(cross_stages)
        widths, depths, ratios = (settings[name] for name in ("embed_dims", "depths", "mlp_ratios"))
        first, last = 0, max(sum(depths) - 1, 1)
        for number, (width, depth, ratio) in enumerate(zip(widths, depths, ratios, strict=True), start=1):
            before = widths[number - 2] if number > 1 else 3
            blocks = [
                CoaTBlock(width, ratio, det_pos_dims, drop_path_rate * block / last, with_cp)
                for block in range(first, first + depth)
            ]
            first += depth
            self.add_module(f"patch_embed{number}", ConvPatchEmbed(before, width, 2 if number > 1 else 4))
            self.register_parameter(f"cls_token{number}", nn.Parameter(torch.zeros(1, 1, width)))
            self.add_module(f"cpe{number}", ConvPosEnc(width))
            self.add_module(f"crpe{number}", ConvRelPosEnc(width))
            self.add_module(f"serial_blocks{number}", nn.ModuleList(blocks))
            if number > 1:
                self.add_module(f"det_exp_{number - 1}", nn.Linear(before, width, bias=False))
                self.add_module(f"det_exp_norm_{number - 1}", nn.LayerNorm(width))
            if number - 1 in self.cross_stages:
                self.add_module(f"encoding{number}", SinePositionalEncoding(width // 2, normalize=True))
        if last_merging:
            self.patch_embed5 = ConvPatchEmbed(widths[-1], det_pos_dims, 2)
        self.last_merging = last_merging
        self.det_token = nn.Parameter(torch.zeros(1, num_det_tokens, widths[0]))
        self.det_pos_embed = nn.Parameter(torch.zeros(1, num_det_tokens, det_pos_dims))
        self.out_channels = [*widths[1:], *([det_pos_dims] if last_merging else [])]
        self.det_channels = widths[-1]

    def init_weights(self) -> None:
        """Draw as the official code does, then follow ``init_cfg``."""
        for number in range(1, STAGES + 1):
            nn.init.trunc_normal_(self._part("cls_token", number), std=0.02)
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
        # Unlike the Swin body's, the mask's first size is a part of the image, not of the first map.
        mask = cross_mask(padding_mask, (images.shape[2], images.shape[3]), len(self.cross_stages))
        x, det, maps = images, self.det_token, []  # one set of tokens, until a stage tells images apart
        for number in range(1, STAGES + 1):
            if number > 1:
                det = self._part("det_exp_norm_", number - 1)(self._part("det_exp_", number - 1)(det))
            x, size, det = self._stage(number, x, det, mask)
            if number > 1:
                maps.append(x)
        if self.last_merging:
            patches, size = self.patch_embed5(x)
            maps.append(to_map(patches, size))
        return BodyOutput(tuple(maps), det.expand(images.shape[0], -1, -1), self.det_pos_embed)

    def _stage(self, number: int, x: Tensor, det: Tensor, mask: Tensor) -> tuple[Tensor, Size, Tensor]:
        patches, size = self._part("patch_embed", number)(x)
        cross = None
        if number - 1 in self.cross_stages:
            det = det.expand(patches.shape[0], -1, -1)
            cross = cross_patches(mask, size, self._part("encoding", number), det)
        patches = torch.cat([self._part("cls_token", number).expand(patches.shape[0], -1, -1), patches], 1)
        shared = (self._part("cpe", number), self._part("crpe", number))
        for block in self._part("serial_blocks", number):
            patches, det = block(patches, det, self.det_pos_embed, size, shared, cross)
        return to_map(patches[:, 1:], size), size, det

    def _part(self, name: str, number: int) -> Any:
        """Return a stage's part by its official name, which ends in the stage's number, from 1."""
        return getattr(self, f"{name}{number}")
