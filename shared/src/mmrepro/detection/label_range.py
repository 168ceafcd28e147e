"""Labels that the model has no class for, found before they index anything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData


def checked_labels(
    batch_gt_instances: Sequence[InstanceData], batch_img_metas: Sequence[dict], num_classes: int, first: int = 0
) -> list[list[int]]:
    """Return the labels of each image on the host, all known to the model: on a GPU a wrong one ends the process.

    Args:
        batch_gt_instances: with ``labels``.
        batch_img_metas: of the same images; ``img_path`` is named in the error.
        num_classes: the classes of the model.
        first: the smallest label.

    Raises:
        ValueError: a label is below ``first`` or too large; the first image at fault is named.
    """
    counts = [len(one) for one in batch_gt_instances]
    labels = [part.tolist() for part in torch.cat([one.labels for one in batch_gt_instances]).cpu().split(counts)]
    for of_image, meta in zip(labels, batch_img_metas, strict=True):
        wrong = sorted({label for label in of_image if not first <= label < num_classes})
        if wrong:
            raise ValueError(
                f"{meta.get('img_path', 'an image')}: labels {wrong}, but the model has num_classes={num_classes}, "
                f"that is labels {first} to {num_classes - 1}; set num_classes of the bbox_head to the data set's "
                "(with raw category ids: the largest id + 1)"
            )
    return labels
