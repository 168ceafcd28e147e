"""The official parameter groups (xiuqhou/Relation-DETR @ b485955, ``finetune_backbone_and_linear_projection``).

Official groups go by substrings of official names, which our names are not. Swin's ``backbone.0.features.0.2.weight``
is a norm that decays officially because its name does not say so, ours is ``backbone.patch_embed.norm.weight``.
So names are translated first; ``paramwise_cfg`` by our names would change the groups silently.
"""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mm_relation_detr.checkpoint import official_names
from mmrepro.checkpoint import CheckpointMismatchError

GROUPS = ("other", "backbone", "backbone_norm", "projection", "projection_norm", "norm")
_SHOWN = 5  # names in an error
_PROJECTIONS = ("reference_points", "sampling_offsets")
_NORMS = ("norm", "bias")
_MULTIPLIERS = dict(backbone_lr_mult=0.1, projection_lr_mult=0.1)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class RelationDETRParamGroups(DefaultOptimWrapperConstructor):
    """Six groups in the official order, empty ones included; the first has the base learning rate.

    Norms and biases (by name) have no weight decay; the backbone and the sampling offsets have a tenth of the learning
    rate. Frozen parameters are in no group.

    Args:
        optim_wrapper_cfg: as everywhere in mmengine.
        paramwise_cfg: ``backbone_lr_mult`` and ``projection_lr_mult``, 0.1 each by default.

    Raises:
        ValueError: ``paramwise_cfg`` has another key, the optimiser has no ``lr``, or the model has parameters that no
            official model has, so they belong to no group.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, _MULTIPLIERS | (paramwise_cfg or {}))

    def _validate_cfg(self) -> None:
        unknown = self.paramwise_cfg.keys() - _MULTIPLIERS
        if unknown:
            raise ValueError(
                f"paramwise_cfg of RelationDETRParamGroups has {', '.join(sorted(unknown))}; it takes backbone_lr_mult "
                "and projection_lr_mult. Fix: remove it, or leave out constructor to use mmengine's own groups"
            )
        if self.base_lr is None:
            raise ValueError("the groups are multiples of the optimiser's lr. Fix: optimizer=dict(type=..., lr=...)")

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append the groups of a whole model to a list."""
        members = param_groups(module)
        multipliers = dict.fromkeys(GROUPS, 1.0)
        for name in ("backbone", "projection"):
            multipliers[name] = multipliers[f"{name}_norm"] = self.paramwise_cfg[f"{name}_lr_mult"]
        for name in GROUPS:
            group = dict(params=list(members[name].values()), lr=self.base_lr * multipliers[name])
            if name.endswith("norm"):
                group["weight_decay"] = 0.0
            params.append(group)


def param_groups(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """Return the trainable parameters of each official group by their official names.

    Raises:
        ValueError: a parameter has no official name.
    """
    try:
        official = official_names(name for name, _ in model.named_parameters())
    except CheckpointMismatchError as error:
        names = [name for lines in error.problems.values() for name in lines]
        shown = ", ".join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
        raise ValueError(
            f"RelationDETRParamGroups goes by official names, which {len(names)} parameters of this model do not have: "
            f"{shown}. Fix: leave constructor out of optim_wrapper, and give paramwise_cfg of mmengine's own groups"
        ) from error
    groups: dict[str, dict[str, nn.Parameter]] = {name: {} for name in GROUPS}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[group_of(official[name])][official[name]] = parameter
    return groups


def group_of(name: str) -> str:
    """Return the group of an official name."""
    norm = any(word in name for word in _NORMS)
    for group, words in (("backbone", ("backbone",)), ("projection", _PROJECTIONS)):
        if any(word in name for word in words):
            return f"{group}_norm" if norm else group
    return "norm" if norm else "other"
