"""The data preprocessor of Real-HAT: training batches are degraded where they are used, on the device.

Source: ``feed_data`` of XPixelGroup/HAT @ 1638a9a, hat/models/realhatgan_model.py. Pairs, for validation or for
fine-tuning to one's own, pass as they are.
"""

from __future__ import annotations

import torch
from mmengine.registry import MODELS

from mm_hat.models.preprocessor import RestorationDataPreprocessor, as_unit_range

KERNELS = ("kernel1", "kernel2", "sinc_kernel")


@MODELS.register_module()
class DegradingDataPreprocessor(RestorationDataPreprocessor):
    """Turn ground truths and kernels of ``RealESRGANDataset`` into a batch of pairs.

    Returns ``inputs`` (B, 3, h, w), and ``data_samples`` with the batches ``gt_img`` and ``gt_usm`` (B, 3, H, W), the
    sharpened ground truth. Pairs, which have ``inputs`` already, go the way of ``RestorationDataPreprocessor``; in
    training their ground truth is sharpened too.

    Args:
        degradation: registry config of a ``RealESRGANDegradation``.
        non_blocking: whether to move to the device without waiting.
    """

    def __init__(self, degradation: dict, non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        self.degrader = MODELS.build(degradation)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs`` and ``data_samples``.

        Raises:
            KeyError: a key of ``RealESRGANDataset`` is missing.
            ValueError: the pictures do not fit the degradation.
        """
        if "inputs" in data:
            data = super().forward(data, training)
            for sample in (data["data_samples"] or ()) if training else ():
                sample.set_data({"gt_usm": self.degrader.sharpen(sample.gt_img[None])[0]})
            return data
        missing = [key for key in ("gt", *KERNELS) if key not in data]
        if missing:
            raise KeyError(f"a batch to degrade needs {', '.join(missing)}: does RealESRGANDataset make it?")
        data = self.cast_data({key: data[key] for key in ("gt", *KERNELS)})
        batch = {key: torch.stack(list(value)) for key, value in data.items()}
        degraded = self.degrader(as_unit_range(batch.pop("gt")), **batch)
        return {
            "inputs": degraded["img"],
            "data_samples": {"gt_img": degraded["gt"], "gt_usm": degraded["gt_usm"]},
        }
