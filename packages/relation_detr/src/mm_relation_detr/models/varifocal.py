"""The class loss of Relation-DETR, as xiuqhou/Relation-DETR @ b485955 computes it (``HybridSetCriterion``)."""

from __future__ import annotations

import torch
from mmdet.models.losses import QualityFocalLoss, weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class RelationVarifocalLoss(QualityFocalLoss):
    """Binary cross-entropy towards the overlap of the matched box, weighted by it where there is one.

    With ``t`` the one-hot label, ``q = t * overlap`` and ``p`` the probability, each entry's loss is
    ``(alpha * p^gamma * (1 - t) + q) * BCE(logit, q)``. mmdet's ``VarifocalLoss`` is not this one: it lets gradients
    through the weight's ``p``, and takes a matched entry whose overlap is 0 for background.

    A subclass of ``QualityFocalLoss`` because mmdet's DETR heads give labels and overlaps to that class alone, so that
    they can be configured with this loss too.

    Args:
        alpha: weight of background.
        gamma: power of the probability in the weight of background.
        reduction: ``none`` (a value for each row), ``mean`` or ``sum``.
        loss_weight: factor of the result.
    """

    def __init__(
        self, alpha: float = 0.75, gamma: float = 2.0, reduction: str = "mean", loss_weight: float = 1.0
    ) -> None:
        super().__init__(beta=gamma, reduction=reduction, loss_weight=loss_weight)
        self.alpha = alpha

    def forward(
        self,
        pred: Tensor,
        target: tuple[Tensor, Tensor],
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss, summed over classes.

        Args:
            pred: logits, ``(N, C)``.
            target: labels ``(N,)``, C for background, and overlaps in [0, 1], ``(N,)``.
            weight: of each row, ``(N,)``.
            avg_factor: what ``mean`` divides by, instead of N.
            reduction_override: used instead of ``reduction``.
        """
        labels, overlaps = target
        pred = pred.float()
        quality = pred.new_zeros(len(pred), pred.shape[1] + 1)  # the last column takes the background
        matched = torch.zeros_like(quality, dtype=torch.bool)
        quality = quality.scatter_(1, labels[:, None], overlaps[:, None].to(quality.dtype))[:, :-1]
        matched = matched.scatter_(1, labels[:, None], True)[:, :-1]
        entry_weight = torch.where(matched, quality, self.alpha * pred.detach().sigmoid() ** self.beta)
        loss = F.binary_cross_entropy_with_logits(pred, quality, entry_weight, reduction="none").sum(1)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction_override or self.reduction, avg_factor)
