"""Cross-entropy with the smoothing spread over the other classes alone, as the point cloud models are trained."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SmoothCrossEntropy(nn.Module):
    """Mean cross-entropy with targets ``1 - smoothing`` for the class and ``smoothing / (K - 1)`` for each other one.

    mmpretrain's ``LabelSmoothLoss(mode="original")``, as torch's, gives the class ``smoothing / K`` more.

    Args:
        smoothing: share of the target that the other classes get, in [0, 1).
        loss_weight: factor.

    Raises:
        ValueError: the smoothing is out of its range.
    """

    def __init__(self, smoothing: float = 0.2, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing={smoothing} must be in [0, 1)")
        self.smoothing, self.loss_weight = smoothing, loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits ``(B, K)`` or ``(B, K, N)`` and class numbers ``(B,)`` or ``(B, N)``."""
        logs = logits.log_softmax(1)
        others = self.smoothing / (logits.shape[1] - 1)
        targets = torch.full_like(logs, others).scatter_(1, labels[:, None], 1 - self.smoothing)
        return -self.loss_weight * (targets * logs).sum(1).mean()
