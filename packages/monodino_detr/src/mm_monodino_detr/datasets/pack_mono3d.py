"""The last step of the pipeline: a picture, its camera and its targets as the detector takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mm_monodino_detr.datasets.kitti_calibration import checked_calibration
from mm_monodino_detr.datasets.mono3d_targets import mono3d_targets

META_KEYS = (
    "img_id",
    "img_path",
    "calib_path",
    "label_path",
    "ori_shape",
    "img_shape",
    "cam2img",
    "flip",
    "crop_scale",
    "affine",
)


@TRANSFORMS.register_module()
class PackMono3DInputs(BaseTransform):
    """Pack ``img`` as ``inputs`` ``(3, H, W)`` and the rest as a ``DetDataSample``.

    Its metainfo holds the calibration ``cam2img`` ``(3, 4)`` (P2) and ``ori_shape`` (height and width), both of the
    original picture, and ``affine`` ``(2, 3)``, from that to the input; matrices are nested lists. Its ``gt_instances``
    hold the targets of :func:`mm_monodino_detr.datasets.mono3d_targets.mono3d_targets`, where
    ``LoadKittiAnnotations3D`` came before.

    Args:
        meta_keys: what the metainfo holds, as far as it is there.

    Raises:
        KeyError: there is no ``cam2img``.
        ValueError: annotations were loaded, and no ``KittiFlipCropAffine`` says where they go.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a sample."""
        name = results.get("img_path", "a picture")
        if "cam2img" not in results:
            raise KeyError(f"{name} comes without cam2img. Fix: its 3 x 4 projection P2, as nested lists")
        calibration = checked_calibration(np.array(results["cam2img"]), f"cam2img of {name}")
        sample = DetDataSample()
        if "gt_objects" in results:
            if "affine" not in results:
                raise ValueError(f"{name}: nothing maps the annotations to the input. Fix: KittiFlipCropAffine before")
            targets, kept = mono3d_targets(
                results["gt_objects"],
                calibration,
                results["affine"],
                size=results["img_shape"][::-1],
                width=results["ori_shape"][1],
                flip=results["flip"],
                crop_scale=results["crop_scale"],
            )
            instances = InstanceData(rows=torch.from_numpy(kept.rows))
            for key, values in targets.items():
                setattr(instances, key, torch.from_numpy(np.ascontiguousarray(values)))
            sample.gt_instances = instances
        meta = {key: results[key] for key in self.meta_keys if key in results} | dict(cam2img=calibration.p2.tolist())
        if "affine" in meta:
            meta["affine"] = np.asarray(meta["affine"]).tolist()
        sample.set_metainfo(meta)
        picture = np.array(results["img"].transpose(2, 0, 1), order="C")  # a copy: Pillow's pixels are read-only
        return dict(inputs=torch.from_numpy(picture), data_samples=sample)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(meta_keys={self.meta_keys})"
