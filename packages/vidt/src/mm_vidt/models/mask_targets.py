"""The masks of a batch, and the small pictures of them that mask vectors are trained on.

After naver-ai/vidt @ a8c48b5 (``loss_vector``), which cuts and transforms each object again for each of the L + 1
levels, although targets do not depend on predictions: here all objects are cut once a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

PIXELS_AT_ONCE = 2**23  # as float32, of masks that are cut together


def padded_masks(
    batch_gt_instances: Sequence[InstanceData],
    batch_img_metas: Sequence[dict],
    settings: str,
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """Return the masks of each image on the canvas of the batch.

    Args:
        batch_gt_instances: with ``masks`` (mmdet's) wherever an image has objects.
        batch_img_metas: with ``batch_input_shape``, the (H, W) of the batch; ``img_path`` is named in errors.
        settings: what of the model needs masks and how to do without, for the error.
        device: where to.

    Returns:
        For each image 0 and 1, uint8 ``(objects, H, W)``.

    Raises:
        ValueError: an image has boxes and no masks, or its masks are larger than the batch.
    """
    found = []
    for instances, meta in zip(batch_gt_instances, batch_img_metas, strict=True):
        height, width = meta["batch_input_shape"]
        if not len(instances):
            found.append(torch.zeros((0, height, width), dtype=torch.uint8, device=device))
            continue
        image = meta.get("img_path", "an image")
        if "masks" not in instances:
            raise ValueError(
                f"{image} has boxes and no masks, which {settings}; where masks are annotated, load them: "
                "dict(type='LoadAnnotations', with_bbox=True, with_mask=True)"
            )
        masks = instances.masks.to_tensor(torch.bool, device).view(torch.uint8)
        if masks.shape[1] > height or masks.shape[2] > width:
            raise ValueError(
                f"{image}: its masks are of {masks.shape[1]} x {masks.shape[2]} pixels and the batch of {height} x "
                f"{width}; masks must be resized with the image and padded as it is: pad_mask=True of "
                "DetDataPreprocessor"
            )
        found.append(F.pad(masks, (0, width - masks.shape[2], 0, height - masks.shape[1])))
    return found


def mask_crops(masks: Sequence[Tensor], boxes: Tensor, size: int = 128) -> Tensor:
    """Cut each mask out by its box and resize it, by RoIAlign with one sample for each pixel that a bin spans.

    Args:
        masks: of each image, ``(objects, H, W)`` of 0 and 1.
        boxes: ``(x1, y1, x2, y2)`` in pixels of the objects of all images, ``(T, 4)``; they may reach out of the image.
        size: side of the results.

    Returns:
        Bools ``(T, size, size)``: at least half of the bin is inside.
    """
    crops = []
    for of_image, of_boxes in zip(masks, boxes.float().split([len(one) for one in masks]), strict=True):
        at_once = max(1, PIXELS_AT_ONCE // of_image[:1].numel()) if len(of_image) else 1
        for some, around in zip(of_image.split(at_once), of_boxes.split(at_once), strict=True):
            if not len(some):
                continue
            plane = torch.arange(len(some), device=boxes.device, dtype=around.dtype)[:, None]
            # mmcv's is the same kernel behind checks that wait for the device
            crops.append(roi_align(some[:, None].float(), torch.cat([plane, around], 1), size, aligned=True)[:, 0])
    return torch.cat(crops) >= 0.5 if crops else boxes.new_zeros((0, size, size), dtype=torch.bool)
