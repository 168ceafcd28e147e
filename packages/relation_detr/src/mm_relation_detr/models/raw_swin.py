"""Swin Transformer as Relation-DETR runs it (arXiv 2407.11699; xiuqhou/Relation-DETR @ b485955), on mmdet's.

Three things differ from mmdet's in the numbers: maps leave without a norm, an axis that one window covers is not
shifted, and frozen stages keep their stochastic depth. One costs less: the shift's mask is built once per size and
stage instead of once per block.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinTransformer, WindowMSA
from mmdet.registry import MODELS
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from mm_relation_detr.models.cpu_linspace import cpu_linspace
from mmrepro.ops.windows import ShiftMasks, merge, partition


class AxisShiftedWindowAttention(BaseModule):
    """Attention in windows that are shifted along those axes only which have more than one window.

    mmdet's ``ShiftWindowMSA`` shifts both axes always, which changes the last stage by 4 to 35 % where one window
    covers an axis. The projections are mmdet's, under the same names.

    Args:
        w_msa: attention within windows.
        shift: how far odd blocks shift; 0 in even ones.
        drop: stochastic depth.
        masks: shared by the stage.
    """

    def __init__(self, w_msa: WindowMSA, shift: int, drop: nn.Module, masks: ShiftMasks) -> None:
        super().__init__()
        self.w_msa, self.drop = w_msa, drop
        self.window, self.shift, self.masks = w_msa.window_size[0], shift, masks

    def forward(self, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Attend.

        Args:
            query: ``(B, H*W, C)``.
            hw_shape: H and W.

        Returns:
            ``(B, H*W, C)``.
        """
        (batch, _, channels), (height, width), window = query.shape, hw_shape, self.window
        x = F.pad(query.view(batch, height, width, channels), (0, 0, 0, -width % window, 0, -height % window))
        size = (x.shape[1], x.shape[2])
        shifts = tuple(0 if length <= window else self.shift for length in size)
        if any(shifts):
            x = x.roll((-shifts[0], -shifts[1]), (1, 2))
        x = self.w_msa(partition(x, window), self.masks(size, shifts, x) if any(shifts) else None)
        x = merge(x, window, *size)
        if any(shifts):
            x = x.roll(shifts, (1, 2))
        return self.drop(x[:, :height, :width].reshape(batch, height * width, channels))


@MODELS.register_module()
class RelationSwin(SwinTransformer):
    """mmdet's Swin Transformer with raw outputs, the official rule for shifts, and frozen stages that still drop paths.

    Args:
        frozen_stages: 0 freezes the patch embedding, k also the first k stages with the patch merging after each. They
            get no gradient and stay in training mode: officially only ``requires_grad`` is switched off.
        init_cfg: ``dict(type='PretrainedBackbone', checkpoint=...)`` loads files of microsoft/Swin-Transformer.
        kwargs: everything else as in mmdet; ``convert_weights`` and ``pretrained`` are not needed.
    """

    def __init__(self, *, frozen_stages: int = -1, init_cfg: dict[str, Any] | None = None, **kwargs: Any) -> None:
        with cpu_linspace():
            super().__init__(frozen_stages=frozen_stages, init_cfg=init_cfg, **kwargs)
        for index in self.out_indices:
            setattr(self, f"norm{index}", nn.Identity())  # the official detector takes raw maps
        for stage in self.stages:
            masks = ShiftMasks(stage.blocks[0].attn.window_size)
            for block in stage.blocks:
                stock = block.attn
                block.attn = AxisShiftedWindowAttention(stock.w_msa, stock.shift_size, stock.drop, masks)
        self._freeze_stages()  # mmdet does so in train() alone: too late for the optimiser's groups

    def init_weights(self) -> None:
        """Follow ``init_cfg``; without one, draw as mmdet does."""
        if self.init_cfg is None:
            super().init_weights()
        else:  # mmdet's own loading ignores keys that do not fit; its windows would redraw their tables afterwards
            initialize(self, self.init_cfg)

    def _freeze_stages(self) -> None:
        if self.frozen_stages >= 0:
            self.patch_embed.requires_grad_(False)
        for stage in self.stages[: max(self.frozen_stages, 0)]:
            stage.requires_grad_(False)
