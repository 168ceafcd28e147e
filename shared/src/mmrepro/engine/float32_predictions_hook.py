"""Predictions in float32 where a test runs under autocast: metrics turn them into numpy, which has no bfloat16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from .strict_load_hook import model_of


@HOOKS.register_module()
class Float32PredictionsHook(Hook):
    """Turn what the model predicts in half precision into float32, before anything reads it.

    The test tool's ``--amp`` adds it. Under test-time augmentation each view's predictions are merged in float32.
    """

    priority = "HIGHEST"

    def before_test(self, runner: Runner) -> None:
        """Begin."""
        self._handle = model_of(runner).register_forward_hook(_converted)

    def after_test(self, runner: Runner) -> None:
        """End."""
        self._handle.remove()


def _converted(model: nn.Module, inputs: tuple, outputs: Any) -> Any:
    return in_float32(outputs)


def in_float32(value: Any) -> Any:
    """Return a prediction, however nested, with its half-precision tensors in float32; data samples are changed."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if isinstance(value, BaseDataElement):
        for name, item in value.items():
            value.set_field(in_float32(item), name)
        return value
    if isinstance(value, Mapping):
        return {name: in_float32(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(in_float32(item) for item in value)
    return value
