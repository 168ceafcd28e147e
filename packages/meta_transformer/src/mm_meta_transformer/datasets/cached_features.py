"""A data set that gives features instead of inputs once they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample

from mm_meta_transformer.models.frozen_features import Features


@DATASETS.register_module()
class CachedFeatures:
    """The wrapped data set's samples, until :class:`.FeatureCacheHook` brings their features: then those.

    Every attribute that is not found here is the wrapped data set's.

    Args:
        dataset: the data set, or its config. Its pipeline has no random step.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.forget()

    def __getattr__(self, name: str) -> Any:
        # pickling for a spawned worker asks for dunder methods, and unpickling does before the data set is there
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self._features is None:
            return self.dataset[index]
        row = torch.from_numpy(np.array(self._features[index]))
        return {"inputs": Features(row), "data_samples": self._samples[index].clone()}

    @property
    def has_features(self) -> bool:
        """Whether it gives features by now."""
        return self._features is not None

    def forget(self) -> None:
        """Give the wrapped data set's samples again."""
        self._features: np.ndarray | None = None
        self._samples: Sequence[DataSample] = ()

    def remember(self, features: np.ndarray, samples: Sequence[DataSample]) -> None:
        """Give features from now on.

        Args:
            features: ``(len(self), C)``.
            samples: the data samples, in the same order.
        """
        self._features, self._samples = features, samples
