"""A classifier of which only the head is trained, so that a sample's feature is the same in every epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.models.meta_classifier import Inputs, MetaTransformerClassifier


class Features(NamedTuple):
    """Features instead of inputs: of one sample ``(C,)``, or of a batch ``(B, C)``."""

    features: Tensor


@MODELS.register_module()
class FrozenFeatureClassifier(MetaTransformerClassifier):
    """A :class:`.MetaTransformerClassifier` whose tokenizer, encoder and norms are frozen and in evaluation mode.

    It classifies :class:`.Features` as well as inputs, which is what :class:`.FeatureCacheHook` needs. Changes of a
    batch that a data preprocessor makes in training only, mixup for example, are left out.

    Args:
        kwargs: as in :class:`.MetaTransformerClassifier`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_preprocessor = _FeaturesOrInputs(self.data_preprocessor)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith("head."))
        self.train()  # hooks compute features before the runner sets a mode

    def train(self, mode: bool = True) -> FrozenFeatureClassifier:
        """Set the head's mode; everything else stays in evaluation mode."""
        super().train(False)
        self.training = mode
        self.head.train(mode)
        return self

    def extract_feat(self, inputs: Inputs | Features) -> Tensor:
        """Return features ``(B, C)`` of inputs, without a gradient, or those that were given."""
        if isinstance(inputs, Features):
            return inputs.features
        with torch.no_grad():
            return super().extract_feat(inputs)


class _FeaturesOrInputs(BaseDataPreprocessor):
    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        if not isinstance(data["inputs"], Features):
            return self.preprocessor(data, False)
        features, samples = data["inputs"].features, data.get("data_samples")
        stacked = features if isinstance(features, Tensor) else torch.stack(features)
        # moving one by one what is there already would take as long as the head's training
        samples = samples if self.device.type == "cpu" else self.cast_data(samples)
        return {"inputs": Features(stacked.to(self.device)), "data_samples": samples}
