"""Batches of dicts of tensors: fixed sizes are stacked, ragged ones are padded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class SampleDataPreprocessor(BaseDataPreprocessor):
    """Collate samples, each a tensor or a dict of tensors, and move them to the model's device.

    Args:
        pad: by key of a sample's dict, the value that fills up the first dimension to the longest of the batch. The
            first of these keys gives ``padding``, ``(B, N)`` bool and true where a row was filled up, every further
            key its own ``<key>_padding``; where no row was, there is none, and attention needs no mask. All other keys
            are stacked and must have one size.
        non_blocking: as in mmengine.

    Raises:
        ValueError: a key that is stacked has several sizes, or of a list of dicts one lacks a key; samples are named.
            Behind a data loader mmengine's ``pseudo_collate`` has seen the dicts first: a key that a sample lacks ends
            there in a ``KeyError``, and one that the first sample lacks is left out. So the samples of a data set must
            have the same keys.
    """

    def __init__(self, pad: Mapping[str, float] | None = None, non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        self.pad = dict(pad or {})

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return ``inputs``, a tensor or a dict of them with the batch first, and ``data_samples`` as they come.

        Args:
            data: ``inputs``, a list of tensors or dicts, or a dict of lists as mmengine's ``pseudo_collate`` makes it,
                and maybe ``data_samples``.
            training: not used; mmengine passes it.
        """
        data = self.cast_data(data)
        samples = data.get("data_samples")
        names = [sample_name(number, samples) for number in range(_length(data["inputs"]))]
        inputs = self._collate(data["inputs"], names)
        return {"inputs": inputs, "data_samples": samples}

    def _collate(self, inputs: Any, names: list[str]) -> Tensor | dict[str, Tensor]:
        if isinstance(inputs, Tensor):
            return inputs
        if isinstance(inputs, Sequence) and isinstance(inputs[0], Mapping):
            for name, sample in zip(names, inputs, strict=True):
                if sample.keys() != inputs[0].keys():
                    raise ValueError(
                        f"{name} has {sorted(sample)}, {names[0]} has {sorted(inputs[0])}: give both alike"
                    )
            inputs = {key: [sample[key] for sample in inputs] for key in inputs[0]}
        if isinstance(inputs, Sequence):
            return stack("inputs", inputs, names)
        absent = [key for key in self.pad if key not in inputs]
        if absent:
            raise ValueError(f"pad has {', '.join(absent)}; the samples have {', '.join(inputs)}. Fix: pad={{...}}")
        fixed = {key: values for key, values in inputs.items() if key not in self.pad}
        fixes = {key: f"give all one size, or pad={{'{key}': 0}} of SampleDataPreprocessor" for key in fixed}
        batch = {key: stack(key, values, names, fixes[key]) for key, values in fixed.items()}
        for number, (key, value) in enumerate(self.pad.items()):
            batch[key], padding = _padded(key, inputs[key], value, names)
            if padding is not None:
                batch[f"{key}_padding" if number else "padding"] = padding
        return batch


def stack(key: str, values: Sequence[Tensor] | Tensor, names: Sequence[str], fix: str = "give all one size") -> Tensor:
    """Return the values of a batch's samples as one tensor, the batch first.

    Args:
        key: what they are, for an error.
        values: of one size, or stacked already.
        names: of the samples, see :func:`sample_name`.
        fix: what to do where the sizes differ.

    Raises:
        ValueError: the sizes differ; two samples are named.
    """
    if isinstance(values, Tensor):
        return values
    for name, value in zip(names, values, strict=True):
        if value.shape != values[0].shape:
            raise ValueError(
                f"{key} is {tuple(value.shape)} in {name} and {tuple(values[0].shape)} in {names[0]}. Fix: {fix}"
            )
    return torch.stack(tuple(values))


def _padded(key: str, values: Sequence[Tensor], fill: float, names: list[str]) -> tuple[Tensor, Tensor | None]:
    for name, value in zip(names, values, strict=True):
        if value.shape[1:] != values[0].shape[1:]:
            raise ValueError(
                f"{key} has rows of {tuple(value.shape[1:])} in {name} and of {tuple(values[0].shape[1:])} in "
                f"{names[0]}; only their number may differ"
            )
    found = [len(value) for value in values]
    if len(set(found)) == 1:
        return torch.stack(tuple(values)), None
    lengths = torch.tensor(found, device=values[0].device)
    batch = torch.nn.utils.rnn.pad_sequence(list(values), batch_first=True, padding_value=fill)
    return batch, torch.arange(batch.shape[1], device=batch.device) >= lengths[:, None]


def _length(inputs: Any) -> int:
    return _length(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)


def sample_name(number: int, samples: Sequence[Any] | None) -> str:
    """Return what an error calls a sample: its ``sample_idx``, or its place in the batch."""
    index = None if samples is None else samples[number].get("sample_idx")
    return f"sample {number} of the batch" if index is None else f"sample {index}"
