"""The Poly-1 focal loss of points (arXiv 2204.12511, section 5.3): every class is a question of its own."""

from __future__ import annotations

import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class Poly1FocalLoss(nn.Module):
    """``alpha_t (1 - p_t)^gamma BCE + epsilon (1 - p_t)^(gamma + 1)``, the mean over points and classes.

    Args:
        alpha: weight of the targets that are 1; the others have ``1 - alpha``.
        gamma: how little what is already right counts.
        epsilon: weight of the polynomial's added term.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, epsilon: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.gamma, self.epsilon = alpha, gamma, epsilon

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return a scalar.

        Args:
            logits: ``(B, K, N)``.
            labels: ``(B, N)`` int64.
            mask: ``(B, N)``; points where it is 0 do not count.
        """
        targets = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits)
        missed = (logits.sigmoid() - targets).abs()  # 1 - p_t
        weight = self.alpha * targets + (1 - self.alpha) * (1 - targets)
        entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        focal = weight * missed**self.gamma * entropy
        loss = (focal + self.epsilon * missed ** (self.gamma + 1)).mean(1)
        return loss.mean() if mask is None else loss[mask != 0].mean()
