"""Cross-entropy of points, of which some may not count."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PointCrossEntropy(nn.Module):
    """Mean cross-entropy of the points that count.

    Args:
        label_smoothing: share of the target that is spread over all classes, as torch does.
        ignore_index: a label of points that never count.
    """

    def __init__(self, label_smoothing: float = 0.0, ignore_index: int = -100) -> None:
        super().__init__()
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return a scalar.

        Args:
            logits: ``(B, K, N)``.
            labels: ``(B, N)`` int64.
            mask: ``(B, N)``; points where it is 0 do not count (those that fill up a small room).
        """
        if mask is not None:
            labels = labels.masked_fill(mask == 0, self.ignore_index)
        return nn.functional.cross_entropy(
            logits, labels, label_smoothing=self.label_smoothing, ignore_index=self.ignore_index
        )
