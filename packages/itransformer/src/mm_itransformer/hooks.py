"""The paper's own hook: a checkpoint of another model is refused with its cause, not with a list of all its weights."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mm_itransformer.checkpoint import require_same_model


@HOOKS.register_module()
class ITransformerCheckpointHook(Hook):
    """Name what differs when a checkpoint does not belong to the config's model: lengths, width, depth, heads.

    Lengths, width and depth show in the shapes of the weights. The number of heads, ``use_norm``, the activation, the
    attention's type and arguments and ``features`` do not, so a wrong one would give wrong forecasts without an error:
    every checkpoint of ours carries them, and this hook compares. Official files do not say them; the config's are
    taken then.

    Args:
        ignore: settings that may differ, such as ``pred_len`` when a model is fine-tuned for another horizon (with
            ``StrictLoadHook(ignore=["head.proj"])``).
    """

    priority = "HIGHEST"  # before StrictLoadHook, which lists every key at fault

    def __init__(self, ignore: Sequence[str] = ()) -> None:
        self.ignore = tuple(ignore)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the model's settings into the checkpoint's meta."""
        checkpoint.setdefault("meta", {})["model"] = dict(_model(runner).settings)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings.

        Raises:
            CheckpointMismatchError: one differs.
        """
        require_same_model(_model(runner), checkpoint, self.ignore)


def _model(runner: Runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
