"""What an auxiliary head assigned to objects: the queries that Co-DETR adds for the decoder, and their targets.

Paper: arXiv 2211.12860, section 3.3, table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import Tensor


@dataclass(frozen=True)
class Positives:
    """The positive proposals or anchors of one image, N of them, in pixels of the network's input.

    Args:
        boxes: where they are, ``(N, 4)`` as (x1, y1, x2, y2).
        labels: classes of the objects that they were assigned to, ``(N,)``.
        targets: boxes of these objects, ``(N, 4)``.
    """

    boxes: Tensor
    labels: Tensor
    targets: Tensor

    def at_most(self, count: int) -> Positives:
        """Return a random choice of ``count`` of them, or all where there are no more."""
        if len(self.labels) <= count:
            return self
        chosen = torch.randperm(len(self.labels), device=self.labels.device)[:count]
        return Positives(self.boxes[chosen], self.labels[chosen], self.targets[chosen])


@dataclass(frozen=True)
class PositiveBatch:
    """The positives of B images, filled up to one length Q; boxes relative to their images, as (cx, cy, w, h).

    Args:
        references: ``(B, Q, 4)`` in [0, 1].
        labels: ``(B, Q)``; the number of classes where there is none.
        targets: ``(B, Q, 4)``.
        valid: ``(B, Q)``, False where it was filled up.
    """

    references: Tensor
    labels: Tensor
    targets: Tensor
    valid: Tensor

    def attention_mask(self, num_heads: int) -> Tensor:
        """Return which queries must not see which, ``(B * num_heads, Q, Q)``: nobody sees a filled-up one but itself.

        Each seeing itself keeps the softmax of an image without positives finite.
        """
        itself = torch.eye(self.valid.shape[1], dtype=torch.bool, device=self.valid.device)
        return (~self.valid[:, None] & ~itself).repeat_interleave(num_heads, 0)


def batch_positives(
    found: Sequence[Positives], shapes: Sequence[tuple[int, int]], num_classes: int, most: int
) -> PositiveBatch:
    """Return the positives of several images as one batch, at least one query long.

    Args:
        found: those of each image.
        shapes: each image's (height, width) in pixels, padding left out.
        num_classes: label of what was filled up.
        most: how many an image may have; more are chosen from at random.
    """
    found = [one.at_most(most) for one in found]
    # One even where no image has any: parameters without a gradient stop distributed training.
    length = max(1, *(len(one.labels) for one in found))
    labels = found[0].labels.new_full((len(found), length), num_classes)
    references = found[0].boxes.new_full((len(found), length, 4), 0.5)
    targets = references.clone()
    for i, (one, (height, width)) in enumerate(zip(found, shapes, strict=True)):
        count, size = len(one.labels), one.boxes.new_tensor([width, height, width, height])
        labels[i, :count] = one.labels
        # anchors reach beyond the image
        references[i, :count] = bbox_xyxy_to_cxcywh(one.boxes / size).clamp(0, 1)
        targets[i, :count] = bbox_xyxy_to_cxcywh(one.targets / size)
    return PositiveBatch(references, labels, targets, labels < num_classes)
