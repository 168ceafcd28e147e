"""Windows with random gaps, for imputation.

Source: exp/exp_imputation.py of thuml/Time-Series-Library @ 4e938a1, which hides each value with the same probability.
Changed here: a validation or test window has the same gaps in every evaluation, whatever the batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from mmrepro.datasets.windows import WindowDataset


@DATASETS.register_module()
class ImputationWindows(Dataset):
    """The known part of a data set's windows, and which of its values the model may see.

    A window is a dict: ``inputs`` (L, V), complete; ``marks`` (L, M) or None; ``mask`` (L, V) bool, False where the
    value is hidden. Training draws the gaps anew each time, from torch's random state, which the training loop seeds
    batch by batch; validation and test draw them from ``seed`` and the window's number.

    Args:
        dataset: the windows, or their config; their future rows are not used, so ``pred_len=1`` loses least.
        mask_rate: the probability that a value is hidden.
        seed: of the gaps of validation and test.

    Raises:
        ValueError: ``mask_rate`` hides nothing or everything.
    """

    def __init__(self, dataset: WindowDataset | dict, mask_rate: float = 0.25, seed: int = 0) -> None:
        if not 0 < mask_rate < 1:
            raise ValueError(f"mask_rate={mask_rate} must lie between 0 and 1")
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.mask_rate, self.seed = mask_rate, seed

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the windows' data set says, and the share that is hidden."""
        return self.dataset.metainfo | {"mask_rate": self.mask_rate}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Tensor | None]:
        return {key: None if value is None else value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor | None]:
        """Return the windows at ``indices`` as one batch."""
        windows = self.dataset.__getitems__(indices)
        inputs = windows["inputs"]
        if self.dataset.split == "train":
            chances = torch.rand(inputs.shape)
        else:
            chances = torch.stack([self._chances(index, inputs.shape[1:]) for index in indices])
        return {"inputs": inputs, "marks": windows["marks"], "mask": chances > self.mask_rate}

    def _chances(self, index: int, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.random.default_rng((self.seed, index)).random(shape, np.float32))
