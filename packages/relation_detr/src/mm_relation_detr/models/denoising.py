"""Denoising queries: noised targets that the decoder learns to restore.

From xiuqhou/Relation-DETR @ b485955 (``GenerateCDNQueries``, ``GenerateDNQueries``); the contrastive ones are DINO's
(arXiv 2203.03605, section 3.3), those with an indicator DN-DETR's (arXiv 2203.01305, section 4).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmdet.models.layers import CdnQueryGenerator, inverse_sigmoid
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from torch import Tensor, nn

from mmrepro.detection.label_range import checked_labels


class Draws(NamedTuple):
    """The random numbers of one batch, for M noised targets.

    Attributes:
        flip: uniform in [0, 1); a label is replaced where it is below the probability, ``(M,)``.
        labels: what a label is replaced by, ``(M,)``.
        shift: uniform in (-1, 1), ``(M, 4)``.
    """

    flip: Tensor
    labels: Tensor
    shift: Tensor


class ContrastiveDenoising(CdnQueryGenerator):
    """Contrastive denoising queries: a group has every target once with little noise and once with much.

    The queries are distributed and placed as mmdet's. Its random numbers cannot be given, its mask is filled group by
    group (up to ``num_dn_queries`` of them), and its pairs of copies are fixed: hence the methods here.

    Args:
        kwargs: as in mmdet; ``label_noise_scale`` is twice the probability that a label is replaced.
    """

    copies = 2  # of each target in a group; the second is the negative one

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.label_noise_probability = self.label_noise_scale / 2

    def __call__(
        self, batch_data_samples: SampleList, draws: Draws | None = None
    ) -> tuple[Tensor, Tensor, Tensor, dict]:
        """Return the noised targets of a batch as queries.

        The target n of an image, in copy c of ``copies * groups``, is at ``c * most + n`` where ``most`` is the largest
        number of targets of an image; places that are left have content 0 and the box (.5, .5, .5, .5).

        Args:
            batch_data_samples: with ``gt_instances``: ``bboxes`` ``(x1, y1, x2, y2)`` in pixels, and ``labels``.
            draws: random numbers to use; drawn where there are none.

        Returns:
            Contents ``(B, Q, C)``, boxes ``(cx, cy, w, h)`` before the sigmoid ``(B, Q, 4)``, the mask
            ``(Q + N, Q + N)`` of the queries and the N matching ones after them, True where attention is blocked, and
            mmdet's ``dn_meta``. Q is 0 where no image has a target.

        Raises:
            ValueError: a label that the model has no class for.
        """
        checked_labels(
            [sample.gt_instances for sample in batch_data_samples],
            [sample.metainfo for sample in batch_data_samples],
            self.num_classes,
        )
        labels = torch.cat([sample.gt_instances.labels for sample in batch_data_samples])
        boxes = torch.cat([_normalised(sample) for sample in batch_data_samples])
        counts = [len(sample.gt_instances) for sample in batch_data_samples]
        most = max(counts)
        groups = self.get_num_groups(most)
        copies = groups * self.copies
        draws = draws or self.draw(len(labels) * copies, labels.device)
        contents = self.contents(self.noised_labels(labels.repeat(copies), draws))
        noised = inverse_sigmoid(self.noised_boxes(boxes.repeat(copies, 1), groups, draws.shift), eps=1e-3)

        images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).repeat(copies)
        slots = torch.cat([copy * most + torch.arange(count) for copy in range(copies) for count in counts])
        place = images.to(labels.device), slots.to(labels.device)
        shape = len(counts), most * copies
        return (
            contents.new_zeros(*shape, contents.shape[1]).index_put(place, contents),
            noised.new_zeros(*shape, 4).index_put(place, noised),
            self.generate_dn_mask(most, groups, labels.device),
            dict(num_denoising_queries=most * copies, num_denoising_groups=groups),
        )

    def draw(self, count: int, device: torch.device) -> Draws:
        """Return the random numbers for some noised targets."""
        return Draws(
            torch.rand(count, device=device),
            torch.randint(self.num_classes, (count,), device=device),
            torch.rand(count, 4, device=device) * 2 - 1,
        )

    def noised_labels(self, labels: Tensor, draws: Draws) -> Tensor:
        """Return labels ``(M,)`` of which some are replaced by any label, their own included."""
        return torch.where(draws.flip < self.label_noise_probability, draws.labels, labels)

    def contents(self, labels: Tensor) -> Tensor:
        """Return the contents of queries ``(M, C)`` for noised labels ``(M,)``."""
        return self.label_embedding(labels)

    def noised_boxes(self, boxes: Tensor, groups: int, shift: Tensor) -> Tensor:
        """Move the corners of boxes by up to half a side, or by half a side to a whole one in the negative copies.

        Args:
            boxes: ``(cx, cy, w, h)`` in [0, 1], ``(M, 4)``: the targets of a batch, once for each copy.
            groups: how many; each has the positive copy and then the negative one.
            shift: see :class:`Draws`.

        Returns:
            Boxes ``(cx, cy, w, h)`` whose corners are within the image, ``(M, 4)``.
        """
        signed = shift.unflatten(0, (groups, self.copies, -1))
        further = torch.arange(self.copies, device=shift.device)[:, None, None]  # the negative copy: another half side
        outward = signed + further * torch.ones_like(signed).copysign(signed)
        half = boxes[:, 2:].repeat(1, 2) / 2
        corners = bbox_cxcywh_to_xyxy(boxes) + outward.flatten(0, 2) * half * self.box_noise_scale
        return bbox_xyxy_to_cxcywh(corners.clamp(0, 1))

    def generate_dn_mask(self, max_num_target: int, num_groups: int, device: torch.device | str) -> Tensor:
        """Return the mask of :meth:`__call__`: a group is seen by itself alone, the matching queries are by all."""
        slots = max_num_target * self.copies
        # denoising queries have the number of their group, the matching ones -1
        group = torch.arange(slots * num_groups, device=device) // max(slots, 1)
        group = torch.cat([group, group.new_full((self.num_matching_queries,), -1)])
        return (group[:, None] != group) & (group >= 0)


class DenoisingWithIndicator(ContrastiveDenoising):
    """The queries of DN-DETR: one copy of each target, and a last column of contents that tells them from others.

    Args:
        num_classes: how many.
        embed_dims: channels of a query, the indicator's included.
        num_matching_queries: how many follow the denoising queries.
        num_groups: how often the targets are repeated, whatever their number.
        label_noise_probability: with which a label is replaced.
        box_noise_scale: largest move, in halves of a side for the centre and in sides for the size.
    """

    copies = 1

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_matching_queries: int,
        num_groups: int = 5,
        label_noise_probability: float = 0.2,
        box_noise_scale: float = 0.4,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            embed_dims=embed_dims,
            num_matching_queries=num_matching_queries,
            box_noise_scale=box_noise_scale,
            group_cfg=dict(dynamic=False, num_groups=num_groups),
        )
        self.label_noise_probability = label_noise_probability
        self.label_embedding = nn.Embedding(num_classes, embed_dims - 1)

    def contents(self, labels: Tensor) -> Tensor:
        """Return the embedding of noised labels ``(M,)`` with a last column of ones, ``(M, C)``."""
        embedding = super().contents(labels)
        return torch.cat([embedding, embedding.new_ones(len(labels), 1)], 1)

    def noised_boxes(self, boxes: Tensor, groups: int, shift: Tensor) -> Tensor:
        """Move the centres of boxes and change their sizes; see :meth:`ContrastiveDenoising.noised_boxes`."""
        sides = boxes[:, 2:]
        return (boxes + shift * torch.cat([sides / 2, sides], 1) * self.box_noise_scale).clamp(0, 1)


def _normalised(sample: object) -> Tensor:
    """Return the boxes of a data sample as ``(cx, cy, w, h)`` in parts of its image, ``(G, 4)``."""
    height, width = sample.metainfo["img_shape"]
    boxes = sample.gt_instances.bboxes.float()
    return bbox_xyxy_to_cxcywh(boxes / boxes.new_tensor([width, height, width, height]))
