"""A checkpoint of another model is refused by what differs, not by a list of all its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from .strict_load_hook import model_of


class ModelSettingsHook(Hook, ABC):
    """Write what the model is into the meta of its checkpoints, and compare a checkpoint that is loaded with the model.

    A paper's hook says how: it has :meth:`settings` and :meth:`compare`, which are its converter's functions, and is
    registered under a name of its own.

    Args:
        ignore: settings that may differ.
    """

    priority = "HIGHEST"  # before StrictLoadHook, which lists every key at fault

    def __init__(self, ignore: Sequence[str] = ()) -> None:
        self.ignore = tuple(ignore)

    @abstractmethod
    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Return what ``meta.model`` of the model's checkpoints says: names and values, without tensors."""

    @abstractmethod
    def compare(self, model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
        """Compare a loaded checkpoint, ours or an official one, with the model, but for ``self.ignore``.

        Raises:
            CheckpointMismatchError: a setting differs.
        """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the settings into the checkpoint's meta."""
        checkpoint.setdefault("meta", {})["model"] = self.settings(model_of(runner))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings.

        Raises:
            CheckpointMismatchError: one differs.
        """
        self.compare(model_of(runner), checkpoint)
