"""A classifier that is tested on several views of each sample, as videos are: five clips, three crops of each."""

from __future__ import annotations

from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from mm_meta_transformer.models.meta_classifier import MetaTransformerClassifier


@MODELS.register_module()
class MultiViewClassifier(MetaTransformerClassifier):
    """:class:`.MetaTransformerClassifier` whose predictions are the mean of the scores of a sample's views.

    The arguments are the same. Training and ``extract_feat`` take single views.
    """

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return samples with ``pred_score`` and ``pred_label``.

        Args:
            inputs: ``(B, V, 3, T, H, W)``, or ``(B, 3, T, H, W)`` for one view.
            data_samples: as in the base class.
        """
        if inputs.dim() == 5:
            return super().predict(inputs, data_samples)
        scores = self.head.scores(self.head(self.extract_feat(inputs.flatten(0, 1))))
        return self.head.labelled(scores.unflatten(0, inputs.shape[:2]).mean(1), data_samples)
