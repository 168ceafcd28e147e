"""Batches for image restoration: pictures as RGB in [0, 1] on the model's device.

Nothing is normalised here: the network subtracts its own mean (arXiv 2205.04437, official code hat_arch.py @ 1638a9a).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor


@MODELS.register_module()
class RestorationDataPreprocessor(BaseDataPreprocessor):
    """Move pictures to the device, turn bytes into [0, 1], and stack those of one size.

    ``inputs`` are low-quality pictures (C, H, W), a list or a stack of them; every tensor of a sample whose name begins
    with ``gt`` is a picture too. Bytes are divided by 255, floating point is taken as it is.

    Args:
        non_blocking: whether to move without waiting.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs``, (B, C, H, W), and ``data_samples``: a list or None.

        Pictures of several sizes stay a list in evaluation, where they are restored one by one.

        Raises:
            KeyError: there are no ``inputs``.
            ValueError: pictures of several sizes in training, or no picture at all.
            TypeError: integers other than bytes.
        """
        data = self.cast_data(data)
        if "inputs" not in data:
            raise KeyError(f"a batch of pictures needs 'inputs', there are {sorted(data)}: is SRPackInputs missing?")
        inputs, samples = data["inputs"], data.get("data_samples")
        if isinstance(inputs, Tensor):
            batch = as_unit_range(inputs)
        else:
            batch = self._stack([as_unit_range(picture) for picture in inputs], samples, training)
        for sample in samples or ():
            for name, value in list(sample.items()):
                if name.startswith("gt") and isinstance(value, Tensor):
                    sample.set_data({name: as_unit_range(value)})
        return {"inputs": batch, "data_samples": samples}

    @staticmethod
    def _stack(
        pictures: Sequence[Tensor], samples: Sequence[BaseDataElement] | None, training: bool
    ) -> Tensor | list[Tensor]:
        sizes = {tuple(picture.shape) for picture in pictures}
        if not sizes:
            raise ValueError("a batch without pictures")
        if len(sizes) == 1:
            return torch.stack(list(pictures))
        if training:
            names = [sample.get("img_path", i) for i, sample in enumerate(samples or pictures)]
            places = ", ".join(f"{name}: {tuple(p.shape)}" for name, p in zip(names, pictures, strict=True))
            raise ValueError(f"pictures of one training batch have several sizes, crop them alike: {places}")
        return list(pictures)


def as_unit_range(picture: Tensor) -> Tensor:
    """Return a picture in floating point; bytes 0..255 become [0, 1].

    Raises:
        TypeError: other integers, whose range is not known here.
    """
    if picture.is_floating_point():
        return picture
    if picture.dtype != torch.uint8:
        raise TypeError(f"pictures are bytes or floating point in [0, 1], got {picture.dtype}")
    return picture.float() / 255
