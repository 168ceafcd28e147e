"""Recognition of persons across cameras: trained to tell the training persons apart, tested by its features."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from mm_meta_transformer.models.heads import MetaLinearHead


@MODELS.register_module()
class MetaRetrievalHead(MetaLinearHead):
    """A cosine classifier of the training persons, whose features are what is compared at test.

    The official repository has no code for its infrared rows; this head is ours. Features and the rows of the linear
    layer have length 1, so that what is trained is the angle that retrieval compares.

    Args:
        num_classes: persons to train on.
        in_channels: channels of a pooled feature.
        scale: factor of the cosines in the loss.
        kwargs: as in :class:`.MetaLinearHead`.
    """

    def __init__(self, num_classes: int, in_channels: int, scale: float = 16.0, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.scale = scale
        self.fc.bias = None

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: the factor of the cosines, too."""
        return super().invisible_settings | {"scale": self.scale}

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``(B, K)`` of pooled features ``(B, C)``."""
        return self.scale * F.linear(F.normalize(self.dropout(features)), F.normalize(self.fc.weight))

    def predict(self, features: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return samples with ``pred_feature`` ``(C,)`` of length 1, beside the scores of the training persons."""
        samples = super().predict(features, data_samples)
        for sample, feature in zip(samples, F.normalize(features), strict=True):
            sample.set_field(feature, "pred_feature")
        return samples
