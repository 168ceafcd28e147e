"""Learning rates that fall from the last block of a ViT to its first layer, as ViT-Adapter and its heirs train.

Official code: ``LayerDecayOptimizerConstructor`` of detection and of segmentation in Traffic-X/ViT-CoMer @ b57f386 and
invictus717/MetaTransformer @ b08a2be, in turn BEiT's. mmdet's and mmsegmentation's
``LearningRateDecayOptimizerConstructor`` look for ``backbone.layers`` and for a projection called otherwise: with them
every parameter of these backbones would have the full rate.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")
_EMBEDDING = ("backbone.pos_embed", "backbone.patch_embed.")
# of Mask2Former: what the queries begin with, and what reads them
_QUERIES = tuple(
    f"decode_head.{name}" for name in ("mask_embed", "cls_embed", "level_embed", "query_embed", "query_feat")
)
_OPTIONS = {"num_layers", "layer_decay_rate", "head_low_lr"}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ViTLayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Groups of parameters by their depth in the ViT, each deeper one with a larger learning rate.

    With ``n`` blocks and rate ``r``, the patches' and positions' learning rate is ``r**(n + 1)`` times the base rate,
    that of block ``i`` is ``r**(n - i)`` times it, and everything else, the convolutional branch, the interactions,
    neck and heads, has it in full. Vectors and biases have no weight decay; the position table and ``level_embed``,
    which are neither, have it as officially. Frozen parameters are in no group.

    Args:
        optim_wrapper_cfg: as everywhere in mmengine.
        paramwise_cfg: ``num_layers``, the backbone's number of blocks; ``layer_decay_rate``; and ``head_low_lr``, False
            by default: whether Mask2Former's queries and what reads them learn as slowly as the patches. The official
            segmentation code does that, the detection code does not; other heads have no such parameters.

    Raises:
        ValueError: ``paramwise_cfg`` lacks one of the first two or has another key, the optimiser has no ``lr``, or the
            model's backbone has not ``num_layers`` blocks.
    """

    def _validate_cfg(self) -> None:
        given = set(self.paramwise_cfg)
        if not _OPTIONS - {"head_low_lr"} <= given <= _OPTIONS:
            raise ValueError(
                f"paramwise_cfg of ViTLayerDecayConstructor has {', '.join(sorted(given)) or 'nothing'}. "
                "Fix: give num_layers, layer_decay_rate and, if wanted, head_low_lr, and nothing else"
            )
        if self.base_lr is None:
            raise ValueError("the groups are multiples of the optimiser's lr. Fix: optimizer=dict(type=..., lr=...)")

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append the groups of a whole model to a list."""
        blocks = self.paramwise_cfg["num_layers"]
        self._require_blocks(module, blocks)
        groups: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                decays = parameter.ndim > 1 and not name.endswith(".bias")
                groups[self._depth(name, blocks), decays].append(parameter)
        for (depth, decays), members in groups.items():
            group = dict(
                params=members, lr=self.base_lr * self.paramwise_cfg["layer_decay_rate"] ** (blocks + 1 - depth)
            )
            if not decays:
                group["weight_decay"] = 0.0
            params.append(group)

    def _depth(self, name: str, blocks: int) -> int:
        """Return 0 for what comes before the blocks, ``i + 1`` for block ``i``, and ``blocks + 1`` for the rest."""
        if name.startswith(_EMBEDDING) or (self.paramwise_cfg.get("head_low_lr") and name.startswith(_QUERIES)):
            return 0
        found = _BLOCK.match(name)
        return int(found[1]) + 1 if found else blocks + 1

    def _require_blocks(self, model: nn.Module, blocks: int) -> None:
        found = {int(match[1]) for name, _ in model.named_parameters() if (match := _BLOCK.match(name))}
        if len(found) != blocks:
            raise ValueError(
                f"paramwise_cfg.num_layers={blocks}, and the model's backbone has {len(found)} blocks. "
                f"Fix: set num_layers={len(found)}"
                if found
                else f"paramwise_cfg.num_layers={blocks}, and the model has no parameter backbone.blocks.*. "
                "Fix: use ViTLayerDecayConstructor with a backbone that is a ViT with these names"
            )
