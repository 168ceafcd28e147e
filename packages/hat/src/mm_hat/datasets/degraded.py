"""Pictures and their noisy or compressed copies of the same size: denoising and JPEG artefacts.

arXiv 2309.05239, section VI-D and VI-E, reports both, but its authors published neither code nor settings. This is our
own design: SwinIR's data (its README names them), the flips and the cropping of super-resolution.
"""

from __future__ import annotations

from typing import Any

from mmengine.registry import DATASETS

from .paired import BasicImageDataset

SCALE = 1


def degraded_pipeline(degradation: dict, grey: bool = False, gt_patch_size: int | None = None) -> list[dict]:
    """Return the transforms: load, degrade the whole picture, cut a patch, flip.

    Args:
        degradation: the transform that makes ``img`` of ``gt``, ``SRAddGaussianNoise`` or ``SRCompressJPEG``.
        grey: work on the luma, in one channel.
        gt_patch_size: the patch's side; None keeps the whole picture, unflipped, as a test does.
    """
    load = [dict(type="SRLoadImageFromFile", key="gt")]
    if grey:
        # Degraded with three equal channels, which the encoder and the metrics know, then cut to one
        middle = [dict(type="SRGrey"), dict(degradation, gray=True), dict(type="SROneChannel")]
    else:
        middle = [dict(degradation)]
    if gt_patch_size is None:
        return [*load, *middle, dict(type="SRPackInputs")]
    return [
        *load,
        *middle,
        dict(type="SRPairedRandomCrop", gt_patch_size=gt_patch_size, scale=SCALE),
        dict(type="SRFlip", direction="horizontal"),
        dict(type="SRFlip", direction="vertical"),
        dict(type="SRRandomTransposeHW"),
        dict(type="SRPackInputs"),
    ]


@DATASETS.register_module()
class DegradedImageDataset(BasicImageDataset):
    """Good pictures, which :func:`degraded_pipeline` spoils while training.

    Args:
        degradation, grey, gt_patch_size: as :func:`degraded_pipeline`.
        **kwargs: as :class:`BasicImageDataset`.

    Raises:
        FileNotFoundError, ValueError: as :class:`BasicImageDataset`.
    """

    def __init__(self, degradation: dict, grey: bool = False, gt_patch_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(scale=SCALE, pipeline=degraded_pipeline(degradation, grey, gt_patch_size), **kwargs)
