"""Batches of clips: normed by channel, and mixed as pictures of many channels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.utils.data_preprocessor import ClsDataPreprocessor
from mmpretrain.registry import MODELS

from mm_meta_transformer.models.data_preprocessor import sample_name, stack


@MODELS.register_module()
class ClipDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor for clips ``(3, T, H, W)`` or views ``(V, 3, T, H, W)`` in RGB.

    Mixup and CutMix treat the frames as channels: the same box in all of them.

    Args:
        mean: of each channel, of values in [0, 255].
        std: of each channel.
        kwargs: ``num_classes`` and ``batch_augments`` as in mmpretrain.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.register_buffer("clip_mean", torch.tensor(mean).view(-1, 1, 1, 1), persistent=False)
        self.register_buffer("clip_std", torch.tensor(std).view(-1, 1, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return ``inputs`` ``(B, 3, T, H, W)``, or with the views after the batch, and ``data_samples``.

        Raises:
            ValueError: clips are of several sizes.
        """
        clips = self.cast_data(data["inputs"])
        samples = data.get("data_samples")
        names = [sample_name(number, samples) for number in range(len(clips))]
        clips = stack("a clip", clips, names, "resize and crop all alike in the pipeline")
        clips = (clips.float() - self.clip_mean) / self.clip_std
        shape = clips.shape
        data = super().forward({**data, "inputs": clips.flatten(1, -3)}, training)
        return {**data, "inputs": data["inputs"].view(shape)}
