"""The heads and losses of Relation-DETR (arXiv 2407.11699, sections 4.2 and 4.3) and of the ``++`` models.

After xiuqhou/Relation-DETR @ b485955 (``HybridSetCriterion``, ``SetCriterion``, ``PostProcess``). The branches, their
names, and the names of losses are those of mmdet's DINO.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from mmcv.ops import batched_nms
from mmdet.models.dense_heads import DINOHead
from mmdet.models.losses import QualityFocalLoss
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from mmengine.model import bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_relation_detr.models.matching import BatchedHungarianAssigner, Outputs, Pairs
from mm_relation_detr.models.varifocal import RelationVarifocalLoss
from mmrepro.detection.label_range import checked_labels


class Targets(NamedTuple):
    """The targets of a batch, T in all of its images.

    Attributes:
        labels: ``(T,)``.
        boxes: ``(cx, cy, w, h)`` in parts of the image, ``(T, 4)``.
        corners: ``(x1, y1, x2, y2)`` in pixels, ``(T, 4)``.
        sizes: width, height, width and height of each image, ``(B, 4)``.
        counts: how many each image has.
    """

    labels: Tensor
    boxes: Tensor
    corners: Tensor
    sizes: Tensor
    counts: list[int]


@MODELS.register_module()
class RelationDETRHead(DINOHead):
    """One class and one box branch for each decoder layer, for the encoder, and for the encoder in the hybrid branch.

    The decoder runs the box branches of its layers itself, for its references are refined by them; here only classes
    are computed. Losses differ from mmdet's DINO in the class loss, in what it is divided by, and in that all layers
    are computed together (:mod:`mm_relation_detr.models.matching`).

    Args:
        args, kwargs: as in mmdet.
        hybrid: add ``hybrid_cls_branch`` and ``hybrid_reg_branch`` for the one-to-many proposals.
        hybrid_repeat: to how many hybrid queries each target belongs.
        binary_encoder: the encoder's first class stands for any object (Deformable-DETR++).
        loss_cls: config of the class loss; ``FocalLoss`` in the ``++`` models.
        train_cfg: with the ``assigner``, a :class:`BatchedHungarianAssigner`.
        test_cfg: ``max_per_img``; ``clip`` to bring boxes into the image, which mmdet does and the official code does
            not. Of the boxes that are left, ``score_thr`` drops those of lower scores, and ``nms``, such as
            ``dict(type="nms", iou_threshold=0.7)``, those that overlap a better one of their class; officially both
            are off.

    Raises:
        TypeError: the assigner is another one.
    """

    def __init__(
        self,
        *args: object,
        hybrid: bool = False,
        hybrid_repeat: int = 6,
        binary_encoder: bool = False,
        loss_cls: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        **kwargs: object,
    ) -> None:
        self.hybrid = hybrid
        self.hybrid_repeat = hybrid_repeat
        self.binary_encoder = binary_encoder
        super().__init__(
            *args,
            loss_cls=loss_cls or dict(type=RelationVarifocalLoss),
            train_cfg=train_cfg or dict(assigner=dict(type=BatchedHungarianAssigner)),
            test_cfg=test_cfg or dict(max_per_img=300),
            **kwargs,
        )
        if not isinstance(self.assigner, BatchedHungarianAssigner):
            raise TypeError(
                f"RelationDETRHead matches all layers at once: train_cfg's assigner is {type(self.assigner).__name__}, "
                "set its type to BatchedHungarianAssigner (with the same match_costs)"
            )

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.hybrid:
            self.hybrid_cls_branch = copy.deepcopy(self.cls_branches[-1])
            self.hybrid_reg_branch = copy.deepcopy(self.reg_branches[-1])

    def init_weights(self) -> None:
        """Initialise as the official code: every class has probability 0.01, and no box is moved.

        The branches of decoder layers start as copies of one another. mmdet leaves the hidden layers of box branches
        at PyTorch's defaults and, without two stages, the first one's last layer at a bias of -2 for sizes.
        """
        decoder_layers = self.num_pred_layer - self.as_two_stage
        hybrid = [(self.hybrid_cls_branch, self.hybrid_reg_branch)] if self.hybrid else []
        branches = [*zip(self.cls_branches, self.reg_branches, strict=True), *hybrid]
        for number, (classes, boxes) in enumerate(branches):
            if 0 < number < decoder_layers:
                classes.load_state_dict(self.cls_branches[0].state_dict())
                boxes.load_state_dict(self.reg_branches[0].state_dict())
                continue
            classes.reset_parameters()
            nn.init.constant_(classes.bias, bias_init_with_prob(0.01))
            linears = [layer for layer in boxes if isinstance(layer, nn.Linear)]
            for layer in linears:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
            nn.init.zeros_(linears[-1].weight)

    def forward(self, hidden_states: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits ``(K, B, N, classes)`` of the first K decoder layers, and their boxes as they are.

        Args:
            hidden_states: as the class branches take them, ``(K, B, N, C)``.
            boxes: ``(K, B, N, 4)``.
        """
        logits = [branch(state) for branch, state in zip(self.cls_branches, hidden_states, strict=False)]
        return torch.stack(logits), boxes

    def loss(
        self,
        hidden_states: Tensor,
        boxes: Tensor,
        batch_data_samples: SampleList,
        enc_outputs_class: Tensor | None = None,
        enc_outputs_coord: Tensor | None = None,
        dn_meta: dict[str, int] | None = None,
        hybrid: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch, 60 in Relation-DETR.

        Args:
            hidden_states: of decoder layers, denoising queries first, ``(K, B, N, C)``.
            boxes: their boxes ``(cx, cy, w, h)`` in [0, 1], ``(K, B, N, 4)``.
            batch_data_samples: with ``gt_instances``.
            enc_outputs_class: logits of the encoder's proposals, ``(B, N, classes)``; None where it has none.
            enc_outputs_coord: their boxes, ``(B, N, 4)``.
            dn_meta: mmdet's ``num_denoising_queries`` and ``num_denoising_groups``; None without denoising.
            hybrid: the first two arguments and the encoder's of the hybrid branch, by their names; None without one.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_iou`` of the last layer, with ``enc_`` before those of the encoder,
            ``dn_`` of the denoising queries, ``hybrid_`` and ``hybrid_enc_`` of the hybrid branch; those of the other
            layers as ``d0.loss_cls`` or ``d0.dn_loss_cls``.

        Raises:
            ValueError: a label that the head has no class for, or predictions that are not finite.
        """
        instances = [sample.gt_instances for sample in batch_data_samples]
        metas = [sample.metainfo for sample in batch_data_samples]
        if dn_meta is None:  # else denoising has done it, and on a GPU it waits for the whole forward pass
            checked_labels(instances, metas, self.num_classes)
        logits, boxes = self(hidden_states, boxes)
        denoising, groups = None, 0
        if dn_meta is not None:
            groups, split = dn_meta["num_denoising_groups"], dn_meta["num_denoising_queries"]
            denoising = Outputs(logits[:, :, :split], boxes[:, :, :split])
            logits, boxes = logits[:, :, split:], boxes[:, :, split:]
        outputs = {"": Outputs(logits, boxes)}
        if enc_outputs_class is not None:
            outputs["enc_"] = Outputs(enc_outputs_class[None], enc_outputs_coord[None], binary=self.binary_encoder)
        if hybrid is not None:
            encoder = hybrid["enc_outputs_class"][None], hybrid["enc_outputs_coord"][None]
            main = self(hybrid["hidden_states"], hybrid["boxes"])
            outputs["hybrid_"] = Outputs(*main, repeat=self.hybrid_repeat)
            outputs["hybrid_enc_"] = Outputs(*encoder, repeat=self.hybrid_repeat)
        return self.loss_by_feat(outputs, instances, metas, denoising, groups)

    def loss_by_feat(
        self,
        outputs: Mapping[str, Outputs],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        denoising: Outputs | None = None,
        groups: int = 0,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of given predictions, under the names of :meth:`loss`.

        All but the denoising queries' are matched with the targets. Every loss is a sum over the batch, divided by the
        number of targets (of a process, on average, and at least 1) times how often they are repeated.

        Args:
            outputs: predictions by what stands before the names of their losses.
            batch_gt_instances: ``bboxes`` ``(x1, y1, x2, y2)`` in pixels and ``labels`` of each image.
            batch_img_metas: with the ``img_shape`` of each image.
            denoising: predictions of denoising queries.
            groups: how many groups they are in.
        """
        targets = _targets(batch_gt_instances, batch_img_metas)
        # officially sums are divided by the number of targets that there are, not of those that found a query
        number = reduce_mean(targets.boxes.new_tensor(float(sum(targets.counts))))
        pairs = self.assigner.assign_batch(list(outputs.values()), batch_gt_instances, batch_img_metas)
        found = {}
        for (prefix, one), matched in zip(outputs.items(), pairs, strict=True):
            found |= self._named_losses(prefix, one, matched, targets, (number * one.repeat).clamp(min=1))
        if denoising is not None:
            restored = _denoising_pairs(denoising, targets, groups)
            found |= self._named_losses("dn_", denoising, restored, targets, number.clamp(min=1) * groups)
        return found

    def _named_losses(
        self, prefix: str, outputs: Outputs, pairs: Pairs, targets: Targets, divisor: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of one set of predictions, all layers computed together."""
        layers = len(outputs.logits)
        place = torch.arange(layers, device=outputs.logits.device)[:, None], pairs.images, pairs.queries
        boxes = outputs.boxes[place].float().flatten(0, 1)  # (K, P, 4) -> (K*P, 4)
        corners = bbox_cxcywh_to_xyxy(boxes) * targets.sizes[pairs.images].flatten(0, 1)
        wanted = pairs.targets.flatten()

        labels = wanted.new_full(outputs.logits.shape[:3], self.num_classes)
        labels[place] = 0 if outputs.binary else targets.labels[pairs.targets]
        of_classes = labels.flatten()
        if isinstance(self.loss_cls, QualityFocalLoss):
            overlaps = boxes.new_zeros(labels.shape)
            ious = bbox_overlaps(corners.detach(), targets.corners[wanted], is_aligned=True)
            overlaps[place] = ious.view_as(pairs.targets)
            of_classes = of_classes, overlaps.flatten()
        losses = {"cls": self.loss_cls(outputs.logits.flatten(0, 2).float(), of_classes, reduction_override="none")}
        if len(wanted):
            losses["bbox"] = self.loss_bbox(boxes, targets.boxes[wanted], reduction_override="none")
            # elementwise on pixels: GIoU is that of normalised boxes, and mmdet's smallest area of 1e-6 means nothing
            losses["iou"] = self.loss_iou(corners, targets.corners[wanted], reduction_override="none")
        else:  # zero, but of all boxes: in distributed training each parameter needs a gradient
            losses["bbox"] = losses["iou"] = outputs.boxes * 0

        names = [f"d{layer}." for layer in range(layers - 1)] + [""]
        sums = {part: loss.reshape(layers, -1).sum(1) / divisor for part, loss in losses.items()}
        return {f"{name}{prefix}loss_{part}": sums[part][at] for at, name in enumerate(names) for part in sums}

    def predict(
        self, hidden_states: Tensor, boxes: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> list[InstanceData]:
        """Return the detections of each image; of the class branches, the last decoder layer's alone is run.

        Args:
            hidden_states, boxes: see :meth:`loss`; the last of each is used.
            batch_data_samples: with the ``img_shape`` and, to rescale, the ``scale_factor`` of each image.
            rescale: give boxes in pixels of the original image.

        Returns:
            ``scores``, descending, ``labels`` and ``bboxes`` ``(x1, y1, x2, y2)`` of each image.
        """
        last_branch = self.cls_branches[self.num_pred_layer - self.as_two_stage - 1]
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_by_feat(last_branch(hidden_states[-1])[None], boxes[-1:], metas, rescale)

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        scores = cls_score.float().sigmoid().flatten()  # (N, classes) -> (N*classes,)
        scores, chosen = scores.topk(min(self.test_cfg.get("max_per_img", 300), len(scores)))
        (height, width), (x_scale, y_scale) = img_meta["img_shape"], img_meta["scale_factor"] if rescale else (1, 1)
        size = bbox_pred.new_tensor([width / x_scale, height / y_scale] * 2, dtype=torch.float32)
        queries = chosen.div(self.num_classes, rounding_mode="floor")
        corners = bbox_cxcywh_to_xyxy(bbox_pred[queries].float()) * size
        if self.test_cfg.get("clip", False):  # mmdet clips, the official code does not
            corners = corners.clamp(min=0).minimum(size)
        found = InstanceData(bboxes=corners, scores=scores, labels=chosen % self.num_classes)
        if (least := self.test_cfg.get("score_thr")) is not None:
            found = found[scores >= least]
        if (nms := self.test_cfg.get("nms")) is not None and len(found):
            scored, kept = batched_nms(found.bboxes, found.scores, found.labels, nms)
            found = found[kept]
            found.scores = scored[:, -1]  # Soft-NMS lowers them
        return found


def _targets(instances: Sequence[InstanceData], metas: Sequence[dict]) -> Targets:
    """Collect the targets of a batch."""
    corners = torch.cat([one.bboxes.float() for one in instances])
    counts = [len(one) for one in instances]
    shapes = [meta["img_shape"] for meta in metas]
    sizes = corners.new_tensor([[width, height, width, height] for height, width in shapes])
    images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(corners.device)
    boxes = bbox_xyxy_to_cxcywh(corners / sizes[images])
    return Targets(torch.cat([one.labels for one in instances]), boxes, corners, sizes, counts)


def _denoising_pairs(outputs: Outputs, targets: Targets, groups: int) -> Pairs:
    """Return the pairs of denoising queries: in each group of queries the first ones are noised from the targets."""
    counts = torch.tensor(targets.counts)
    starts = counts.cumsum(0) - counts
    slots = outputs.logits.shape[2] // groups
    group = torch.arange(groups)[:, None]
    images = torch.arange(len(counts)).repeat_interleave(counts * groups)
    queries = torch.cat([(group * slots + torch.arange(count)).flatten() for count in targets.counts])
    wanted = torch.cat(
        [(start + torch.arange(count)).repeat(groups) for start, count in zip(starts, targets.counts, strict=True)]
    )
    layers = len(outputs.logits)
    return Pairs(*(one.to(outputs.logits.device).expand(layers, -1) for one in (images, queries, wanted)))
