"""The exponential moving average of BasicSR, which HAT is evaluated with (arXiv 2205.04437; decay 0.999).

Official code: XPixelGroup/BasicSR @ 8d56e3a, basicsr/models/base_model.py and sr_model.py (model_ema), Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn


@HOOKS.register_module()
class BasicSREMAHook(EMAHook):
    """``EMAHook`` that averages from the weights before the first step, and only the generator's.

    mmengine's average starts as a copy of the weights after the first step; BasicSR's starts from those before it. In
    GAN training the discriminator is not averaged, neither officially nor here.

    Args:
        momentum: weight of the new weights in each step, 1 - decay.
        kwargs: everything else as in mmengine.
    """

    PREFIX = "generator."

    def __init__(self, momentum: float = 0.001, **kwargs) -> None:
        super().__init__(momentum=momentum, **kwargs)

    def before_run(self, runner: Runner) -> None:
        """Copy the generator."""
        self.src_model = _bare(_bare(runner.model).generator)
        self.ema_model = MODELS.build(self.ema_cfg, default_args=dict(model=self.src_model))
        self.ema_model.steps.fill_(1)  # 0 means: copy, do not average

    def before_train(self, runner: Runner) -> None:
        """Start from the weights that training starts from: initialised or loaded after ``before_run``."""
        super().before_train(runner)
        if self.ema_model.steps == 1:
            self.ema_model.module.load_state_dict(self.src_model.state_dict())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the average of a resumed run; otherwise the loaded weights are the average.

        Entries that the checkpoint lacks, such as an upsampler's in a warm start, stay as the model has them: whether
        that is allowed is for ``StrictLoadHook`` to say.
        """
        resumed = runner._resume and "ema_state_dict" in checkpoint
        if resumed or runner._resume:
            super().after_load_checkpoint(runner, checkpoint if resumed else self._generator_only(checkpoint))
        else:
            self.ema_model.module.load_state_dict(self._generator_only(checkpoint)["state_dict"], strict=False)

    def _generator_only(self, checkpoint: Mapping) -> dict:
        state = checkpoint["state_dict"]
        own = {key.removeprefix(self.PREFIX): value for key, value in state.items() if key.startswith(self.PREFIX)}
        return {"state_dict": own}

    def _swap_ema_state_dict(self, checkpoint: dict) -> None:
        """Exchange the generator's entries of ``state_dict`` with those of ``ema_state_dict``."""
        model, average = checkpoint["state_dict"], checkpoint["ema_state_dict"]
        for key in average:
            if key.startswith("module."):
                own = self.PREFIX + key.removeprefix("module.")
                average[key], model[own] = model[own], average[key]


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
