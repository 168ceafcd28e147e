"""The official parameter groups (JihyeokKim/MonoDINO-DETR @ 65004cc, ``build_optimizer``).

What has "bias" anywhere in its name does not decay; all else does, weights of norms and embeddings too. mmengine's
``bias_decay_mult`` means parameters that are called ``bias``: ``in_proj_bias`` of an attention is none of them.
"""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MonoDINOParamGroups(DefaultOptimWrapperConstructor):
    """Two groups in the official order: biases, which do not decay, and all else.

    Frozen parameters are in no group.

    Args:
        optim_wrapper_cfg: as everywhere in mmengine.
        paramwise_cfg: it takes none.

    Raises:
        ValueError: there is a ``paramwise_cfg``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg:
            raise ValueError(
                f"MonoDINOParamGroups takes no paramwise_cfg, and there is {', '.join(sorted(paramwise_cfg))}. "
                "Fix: remove it, or leave out constructor to use mmengine's own groups"
            )
        # mmengine asks the constructor for groups only if there is something in it
        super().__init__(optim_wrapper_cfg, dict(by_name=True))

    def _validate_cfg(self) -> None:
        """The only setting is this class's own."""

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append the groups of a whole model to a list."""
        biases, others = [], []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                (others if decays(name) else biases).append(parameter)
        params += [dict(params=biases, weight_decay=0.0), dict(params=others)]


def decays(name: str) -> bool:
    """Return whether a parameter of that name decays; ours and the official names say the same."""
    return "bias" not in name
