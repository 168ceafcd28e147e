"""Labels that the model has no class for, found before they index anything."""

from __future__ import annotations

import torch
from mmdet.structures import SampleList


def check_labels(samples: SampleList, num_classes: int) -> None:
    """Check the labels of a batch against the number of classes: on a GPU a label too large ends the process.

    Args:
        samples: data samples with ``gt_instances.labels``.
        num_classes: the classes of the model.

    Raises:
        ValueError: a label is negative or too large; the first image at fault is named.
    """
    labels = torch.cat([sample.gt_instances.labels for sample in samples])
    if not len(labels) or not bool(((labels < 0) | (labels >= num_classes)).any()):
        return
    for sample in samples:
        wrong = {label for label in sample.gt_instances.labels.tolist() if not 0 <= label < num_classes}
        if wrong:
            raise ValueError(
                f"{sample.metainfo.get('img_path', 'an image')}: labels {sorted(wrong)}, but the model has "
                f"num_classes={num_classes}, that is labels 0 to {num_classes - 1}; set num_classes of the bbox_head "
                "to the data set's (with raw category ids: the largest id + 1)"
            )
