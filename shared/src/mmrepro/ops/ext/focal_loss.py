"""Focal loss (Lin et al. 2017, arXiv:1708.02002, equation 5), of sigmoids and of a softmax.

Computed in float32 (float64 for float64 inputs) whatever the inputs' type. mmcv's kernels take ``log(max(p, 1e-38))``
of a rounded probability, so that the sigmoid loss of a hard negative jumps to 87 at a logit of 17; here the logarithm
comes from the logit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write ``-a (1 - p)^gamma log p`` of the logits ``input`` ``(N, C)`` into ``output`` ``(N, C)``.

    ``p`` is the sigmoid of the logit and ``a`` is ``alpha`` at the class ``target`` ``(N,)``; elsewhere they are the
    sigmoid of the negated logit and ``1 - alpha``. A target of ``C``, or below zero, is of no class. ``weight`` is
    empty or ``(C,)``: the factor of each row by its target, 1 for those of no class. A ``ValueError`` names a target
    above ``C``.
    """
    classes = input.shape[1]
    _check_target(target, target > classes, f"one of {classes} classes, {classes} (none) or negative (none)")
    at_target, logit = _of_own_class(input, target)
    loss = F.logsigmoid(logit).mul_(torch.sigmoid(-logit).pow_(gamma))
    output.copy_(_weighted(loss, at_target, -alpha, alpha - 1, weight, target))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each entry of the loss by its logit into ``grad_input`` ``(N, C)``."""
    at_target, logit = _of_own_class(input, target)
    # an infinite logit has probability 0, and 0 * log 0 is 0
    log_p = F.logsigmoid(logit).clamp_(min=torch.finfo(logit.dtype).min)
    q = torch.sigmoid(-logit)
    slope = log_p.mul_(torch.sigmoid(logit)).mul_(-gamma).add_(q).mul_(q.pow_(gamma))
    grad_input.copy_(_weighted(slope, at_target, -alpha, 1 - alpha, weight, target))


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write ``-alpha (1 - p)^gamma log p`` into ``output`` ``(N,)``, ``p`` the probability at ``target`` ``(N,)``.

    ``input`` is ``(N, C)``, the softmax and not the logits. ``weight`` is empty or ``(C,)``: the factor of each row by
    its target. A row of a negative target has loss 0. A ``ValueError`` names a target from ``C`` on.
    """
    classes = input.shape[1]
    _check_target(target, target >= classes, f"one of {classes} classes or negative (ignored)")
    p = _probability(input, target)
    loss = -alpha * (1 - p).pow(gamma) * _log(p)
    output.copy_(torch.where(target >= 0, loss * _row_weight(weight, target, loss), 0))


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss's derivatives by the logits into ``grad_input`` ``(N, C)``.

    ``input`` is the softmax ``(N, C)``. ``buff`` ``(N,)`` becomes ``p`` times the derivative by ``p``, the probability
    at the target; 0 where the target is negative.
    """
    p = _probability(input, target)
    # at p = 1 the power may be infinite, where its product with log p = 0 tends to 0
    slope = torch.where(p < 1, (1 - p).pow(gamma - 1) * _log(p), 0)
    row = alpha * (gamma * slope * p - (1 - p).pow(gamma))
    row = torch.where(target >= 0, row * _row_weight(weight, target, row), 0)
    buff.copy_(row)
    at_target = target[:, None] == torch.arange(input.shape[1], device=input.device)
    grad_input.copy_(row[:, None] * (at_target.to(row.dtype) - input))


def _working(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_target(target: Tensor, wrong: Tensor, allowed: str) -> None:
    # mmcv waits for the device here too
    if bool(wrong.any()):
        raise ValueError(f"target holds {int(target.max())}: it must be {allowed}")


def _of_own_class(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the target's class is, and the logits of each entry's truth: negated elsewhere. Both ``(N, C)``."""
    at_target = target[:, None] == torch.arange(input.shape[1], device=target.device)
    logit = _working(input)
    return at_target, torch.where(at_target, logit, -logit)


def _weighted(
    values: Tensor, at_target: Tensor, factor_at: float, factor_elsewhere: float, weight: Tensor, target: Tensor
) -> Tensor:
    """Multiply ``values`` ``(N, C)`` in place by their side's factor and their row's weight."""
    values *= torch.where(at_target, values.new_full((), factor_at), values.new_full((), factor_elsewhere))
    if weight.numel():
        values *= _row_weight(weight, target, values)[:, None]
    return values


def _row_weight(weight: Tensor, target: Tensor, like: Tensor) -> Tensor:
    """Return each row's factor ``(N,)``; 1 where there are no weights or the target is of no class."""
    classes = weight.numel()
    if classes == 0:
        return like.new_ones(len(target))
    of_class = (target >= 0) & (target < classes)
    return torch.where(of_class, weight.to(like.dtype)[target.clamp(0, classes - 1)], 1)


def _probability(softmax: Tensor, target: Tensor) -> Tensor:
    """Return the probability at each row's target ``(N,)``; that of class 0 where the target is negative."""
    return _working(softmax).gather(1, target.clamp(min=0)[:, None]).squeeze(1)


def _log(p: Tensor) -> Tensor:
    """Return the logarithm of probabilities; zero counts as the smallest normal float32, as in mmcv."""
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()
