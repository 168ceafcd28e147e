"""AdamW as the official code wrote it (JihyeokKim/MonoDINO-DETR @ 65004cc): not the one of torch.

With ``m`` and ``v`` as in Adam, ``s = lr sqrt(1 - b2^t) / (1 - b1^t)`` and ``p -= s (wd p + m / (sqrt(v) + eps))``.
So the decay is scaled by the bias-corrected step as well, where torch scales it by ``lr`` alone, and ``eps`` stands
beside the uncorrected root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch.optim import Optimizer


@OPTIMIZERS.register_module()
class LegacyAdamW(Optimizer):
    """The official optimiser; ``AdamW`` of torch is a fair choice for trainings that are not compared with it.

    Parameters without a gradient stay as they are and do not decay.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay rates of the averages of gradients and of their squares.
        eps: what is added to the root of the latter, before any bias correction.
        weight_decay: decay, by ``lr`` and the bias correction.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={tuple(betas)} of LegacyAdamW. Fix: two numbers of at least 0 and below 1")
        for name, value in dict(lr=lr, eps=eps, weight_decay=weight_decay).items():
            if not value >= 0:
                raise ValueError(f"{name}={value} of LegacyAdamW. Fix: a number of at least 0")
        super().__init__(params, dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: computes the loss and its gradients again.

        Returns:
            What the closure returned; None without one.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        if gradient.is_sparse:
            raise RuntimeError("LegacyAdamW takes no sparse gradients. Fix: embeddings with sparse=False")
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), average, squares = group["betas"], state["exp_avg"], state["exp_avg_sq"]
        average.lerp_(gradient, 1 - beta1)
        squares.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = group["lr"] * sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        change = average / squares.sqrt().add_(group["eps"])
        if group["weight_decay"]:
            change.add_(parameter, alpha=group["weight_decay"])
        parameter.add_(change, alpha=-size)
