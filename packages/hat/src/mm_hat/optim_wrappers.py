"""One optimizer for each part of a model, as GAN training needs them (the name and the config are mmagic's)."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MultiOptimWrapperConstructor:
    """Build an ``OptimWrapperDict`` of ``dict(generator=dict(type=..., optimizer=...), discriminator=dict(...))``.

    Args:
        optim_wrapper_cfg: an ordinary ``optim_wrapper`` by the name of a part of the model.
        paramwise_cfg: must be None here; each part may have its own.

    Raises:
        ValueError: no part, or ``paramwise_cfg`` in the wrong place.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, dict[str, Any]], paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg is not None:
            raise ValueError("paramwise_cfg belongs into the optim_wrapper of a part, such as generator")
        self.configs = {
            name: config for name, config in optim_wrapper_cfg.items() if name not in ("type", "constructor")
        }
        if not self.configs or not all(isinstance(config, dict) for config in self.configs.values()):
            raise ValueError(f"optim_wrapper should name parts of the model with a dict each, got {optim_wrapper_cfg}")

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the wrappers.

        Raises:
            ValueError: the model lacks a part.
        """
        model = model.module if is_model_wrapper(model) else model
        wrappers = {}
        for name, config in self.configs.items():
            if getattr(model, name, None) is None:
                parts = ", ".join(part for part, _ in model.named_children())
                raise ValueError(f"optim_wrapper.{name}: the model has no such part, it has {parts}")
            wrappers[name] = build_optim_wrapper(getattr(model, name), dict(config))
        return OptimWrapperDict(**wrappers)
