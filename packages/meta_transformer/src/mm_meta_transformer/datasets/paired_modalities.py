"""Samples of several modalities, put together from data sets of one modality each by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError


@DATASETS.register_module()
class PairedModalities:
    """Each sample of the first data set with one of the same label of every other, of which some may be missing.

    Its inputs are a dict by modality, and its data sample is that of a modality which is present, with
    ``modalities``, those that it has. At least one is always there.

    Args:
        datasets: by modality, a data set or its config; all label the same classes.
        missing: by modality, or for all, the share of samples that lack it.
        fixed: partners and what is missing depend on the index and the seed alone, as an evaluation needs it;
            otherwise they are drawn anew each time from torch's generator, which mmengine seeds.
        seed: of what is fixed.

    Raises:
        DataError: there are fewer than two data sets, a share is outside of [0, 1), it is of an unknown modality, or
            a label of the first data set does not occur in another.
    """

    def __init__(
        self,
        datasets: Mapping[str, Any],
        missing: float | Mapping[str, float] = 0.0,
        fixed: bool = False,
        seed: int = 0,
    ) -> None:
        self.datasets = {
            modality: DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
            for modality, dataset in datasets.items()
        }
        if len(self.datasets) < 2:
            raise DataError(f"datasets has {', '.join(self.datasets) or 'none'}: a pair needs two modalities at least")
        shares = dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(self.datasets, missing)
        if unknown := sorted(shares.keys() - self.datasets.keys()):
            raise DataError(f"missing has {', '.join(unknown)}; the modalities are {', '.join(self.datasets)}")
        for modality, share in shares.items():
            if not 0 <= share < 1:
                raise DataError(f"missing={share} of {modality} must be at least 0 and below 1")
        self._missing = np.array([shares.get(modality, 0.0) for modality in self.datasets])
        self.fixed, self.seed = fixed, seed
        self._same_label = {modality: _by_label(dataset) for modality, dataset in self.datasets.items()}
        first, *others = self.datasets
        for other in others:
            if lacking := sorted(self._same_label[first].keys() - self._same_label[other].keys()):
                raise DataError(f"{other} has no sample of label {lacking[0]}, which {first} has: pairs need both")
        self._labels = {at: label for label, places in self._same_label[first].items() for at in places}

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the first data set says of itself, and the modalities."""
        return dict(next(iter(self.datasets.values())).metainfo, modalities=tuple(self.datasets))

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        seed = [self.seed, index] if self.fixed else torch.randint(2**31, (2,)).tolist()
        draw = np.random.Generator(np.random.PCG64(seed))
        present = draw.random(len(self.datasets)) >= self._missing
        if not present.any():
            present[draw.integers(len(present))] = True
        inputs, sample = {}, None
        for number, (modality, dataset) in enumerate(self.datasets.items()):
            partner = draw.choice(self._same_label[modality][self._labels[index]]) if number else index
            if present[number]:
                item = dataset[int(partner)]
                inputs[modality] = item["inputs"]
                sample = item["data_samples"] if sample is None else sample
        sample.set_metainfo(dict(modalities=tuple(inputs)))
        return {"inputs": inputs, "data_samples": sample}


def _by_label(dataset: Any) -> dict[int, list[int]]:
    if isinstance(dataset, BaseDataset):
        dataset.full_init()
    places: dict[int, list[int]] = {}
    for at in range(len(dataset)):
        places.setdefault(int(dataset.get_data_info(at)["gt_label"]), []).append(at)
    return places
