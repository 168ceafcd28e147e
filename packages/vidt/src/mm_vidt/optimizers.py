"""The official parameter groups (naver-ai/vidt @ a8c48b5, ``build_optimizer``).

One learning rate for all. In the body, what has one axis, biases and [DET] tokens with their positions do not decay;
elsewhere everything does, norms and biases too. ``paramwise_cfg`` of mmengine tells norms by their class and biases by
their name in the whole model, and cannot be told to stop at the body.
"""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

GROUPS = ("head", "body_no_decay", "body")
BODY = "backbone."
TOKENS = ("det_token", "det_pos_embed")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ViDTParamGroups(DefaultOptimWrapperConstructor):
    """Three groups in the official order: all but the body, of the body what does not decay, and its rest.

    Frozen parameters are in no group.

    Args:
        optim_wrapper_cfg: as everywhere in mmengine.
        paramwise_cfg: ``body_lr_mult``, the body's learning rate by that of the rest; 1.0, as officially, by default.

    Raises:
        ValueError: ``paramwise_cfg`` has another key, or the optimiser has no ``lr``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, dict(body_lr_mult=1.0) | (paramwise_cfg or {}))

    def _validate_cfg(self) -> None:
        unknown = self.paramwise_cfg.keys() - {"body_lr_mult"}
        if unknown:
            raise ValueError(
                f"paramwise_cfg of ViDTParamGroups has {', '.join(sorted(unknown))}; it takes body_lr_mult. Fix: "
                "remove it, or leave out constructor to use mmengine's own groups"
            )
        if self.base_lr is None:
            raise ValueError("the body's rate is a multiple of lr. Fix: optimizer=dict(type=..., lr=...)")

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append the groups of a whole model to a list."""
        members: dict[str, list[nn.Parameter]] = {group: [] for group in GROUPS}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                members[group_of(name, parameter.dim())].append(parameter)
        body_lr = self.base_lr * self.paramwise_cfg["body_lr_mult"]
        params += [
            dict(params=members["head"], lr=self.base_lr),
            dict(params=members["body_no_decay"], lr=body_lr, weight_decay=0.0),
            dict(params=members["body"], lr=body_lr),
        ]


def group_of(name: str, axes: int) -> str:
    """Return the group of a parameter, of which its name, ours or the official one, and its number of axes tell."""
    if not name.startswith(BODY):
        return "head"
    return "body_no_decay" if axes == 1 or name.endswith((".bias", *TOKENS)) else "body"
