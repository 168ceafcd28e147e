"""ConvNeXt as Relation-DETR runs it (arXiv 2407.11699; xiuqhou/Relation-DETR @ b485955), on mmpretrain's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import MODELS
from mmpretrain.models.backbones.convnext import ConvNeXt
from torch import nn

from mm_relation_detr.models.cpu_linspace import cpu_linspace


@MODELS.register_module()
class RelationConvNeXt(ConvNeXt):
    """mmpretrain's ConvNeXt with raw outputs, and frozen stages that still drop paths.

    Args:
        out_indices: stages whose maps ``(B, C, H, W)`` are returned, without a norm.
        frozen_stages: k freezes the stem, the first k stages and the downsampling after each: officially 1. They get no
            gradient and stay in training mode: officially only ``requires_grad`` is switched off.
        kwargs: everything else as in mmpretrain. ``init_cfg=dict(type='PretrainedBackbone', checkpoint=...)`` loads
            torchvision's files.
    """

    def __init__(self, *, out_indices: Sequence[int] = (1, 2, 3), frozen_stages: int = 0, **kwargs: Any) -> None:
        with cpu_linspace():
            super().__init__(
                out_indices=list(out_indices), frozen_stages=frozen_stages, gap_before_final_norm=False, **kwargs
            )
        for index in self.out_indices:
            setattr(self, f"norm{index}", nn.Identity())  # the official detector takes raw maps

    def _freeze_stages(self) -> None:
        if self.frozen_stages > 0:
            # one more than in mmpretrain: the downsampling after the last frozen stage
            for module in (*self.downsample_layers[: self.frozen_stages + 1], *self.stages[: self.frozen_stages]):
                module.requires_grad_(False)
