"""ImageNet as a training set of super-resolution: the low-resolution images are made while training.

The pre-training of HAT (arXiv 2205.04437, Section 3.3), after ``hat/data/imagenet_paired_dataset.py`` (1638a9a): cut to
a multiple of the scale, stretch what is smaller than the patch, shrink the float image bicubically without rounding,
then crop and flip as ever. We shrink only the surroundings of the patch, which gives the same pixels.
"""

from __future__ import annotations

from typing import Any

from mmengine.registry import DATASETS

from .paired import BasicImageDataset


def training_pipeline(scale: int, gt_patch_size: int) -> list[dict]:
    """Return the official transforms, with their draws in the official order."""
    return [
        dict(type="SRLoadImageFromFile", key="gt"),
        dict(type="SRModCrop", scale=scale),
        dict(type="SRStretchToPatch", gt_patch_size=gt_patch_size),
        dict(type="SRRandomDownsampledCrop", gt_patch_size=gt_patch_size, scale=scale),
        dict(type="SRFlip", direction="horizontal"),
        dict(type="SRFlip", direction="vertical"),
        dict(type="SRRandomTransposeHW"),
        dict(type="SRPackInputs"),
    ]


@DATASETS.register_module()
class ImageNetSRDataset(BasicImageDataset):
    """High-resolution images of any kind, whose patches are shrunk while training.

    Args:
        gt_folder: the folder of the images, below ``data_root``; ImageNet's ``train`` with its folders of classes.
        scale: the scale.
        gt_patch_size: the patch's side in pixels of the truth; 64 times the scale in every official config.
        ann_file: a list of the images to use; by default all that the folder holds. The official list was not
            published; :func:`mm_hat.datasets.sub_images.write_list` makes one.
        pipeline: other transforms than :func:`training_pipeline`.
        **kwargs: as :class:`BasicImageDataset`.

    Raises:
        FileNotFoundError, ValueError: as :class:`BasicImageDataset`.
    """

    def __init__(
        self, gt_folder: str, scale: int, gt_patch_size: int, pipeline: list | None = None, **kwargs: Any
    ) -> None:
        if pipeline is None:
            pipeline = training_pipeline(scale, gt_patch_size)
        super().__init__(data_prefix=dict(gt=gt_folder), scale=scale, pipeline=pipeline, **kwargs)
