"""The heads of ViDT and ViDT+ (arXiv 2110.03921, 2204.07962; naver-ai/vidt @ a8c48b5).

Classes and boxes of every level, and for ViDT+ the coefficients of masks (unified query representation), the overlap
of a box with its object, and the labels of tokens. mmdet's Deformable DETR head computes its boxes itself and has
none of the last three, so only the names of its branches are taken.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule, bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.detections import best_pairs, of_queries, sizes_of, to_corners, to_instances
from mm_vidt.models.predictions import ForMatched, Predictions
from mm_vidt.models.token_labels import Labels, token_channels
from mm_vidt.models.tokens import ViDTTokens

PRIOR = bias_init_with_prob(0.01)  # every class starts with this probability


@MODELS.register_module()
class ViDTHead(BaseModule):
    """Predictions of L + 1 levels, their losses, and the detections of the last.

    Args:
        num_classes: classes; 91 where labels are COCO's raw category ids, as officially.
        embed_dims: channels.
        num_levels: L + 1; the detector sets it.
        with_box_refine: whether each level has class, box and overlap branches of its own, and moves the boxes of the
            level before it; else all levels share them.
        iou_aware: predict the overlap of a box with its object, a loss of training only.
        with_vector: predict the coefficients of masks, and with detections give masks.
        token_label: label the tokens of the memory, a loss of training only.
        labels: what labels are, ``contiguous`` or ``raw`` category ids; see :class:`ViDTCriterion`. It matters to
            token labels alone, whose channel 0 is not a class.
        n_keep: coefficients of a mask.
        gt_mask_len: side of the mask that they are coefficients of, in pixels.
        criterion: arguments of :class:`ViDTCriterion` beside those above.
        test_cfg: ``max_per_img``, detections of an image, 100 by default; ``clip``, whether boxes are brought into the
            image, which the official code does not.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int = 256,
        num_levels: int = 7,
        with_box_refine: bool = True,
        iou_aware: bool = False,
        with_vector: bool = False,
        token_label: bool = False,
        labels: Labels = "contiguous",
        n_keep: int = 256,
        gt_mask_len: int = 128,
        criterion: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes, self.num_levels, self.with_box_refine = num_classes, num_levels, with_box_refine
        self.iou_aware, self.with_vector, self.token_label = iou_aware, with_vector, token_label
        self.test_cfg = {"max_per_img": 100, "clip": False, **(test_cfg or {})}
        self.criterion = ViDTCriterion(
            num_classes=num_classes, labels=labels, n_keep=n_keep, mask_size=gt_mask_len, **(criterion or {})
        )
        self.cls_branches = self._of_levels(lambda: nn.Linear(embed_dims, num_classes))
        self.reg_branches = self._of_levels(lambda: perceptron(embed_dims, 4))
        if iou_aware:
            self.iou_branches = self._of_levels(lambda: perceptron(embed_dims, 1))
        if with_vector:
            self.vector_branch = perceptron(embed_dims, n_keep)
        if token_label:
            self.enc_output = nn.Linear(embed_dims, embed_dims)
            self.enc_output_norm = nn.LayerNorm(embed_dims)
            self.token_embed = nn.Linear(embed_dims, token_channels(num_classes, labels))

    def _of_levels(self, make: Callable[[], nn.Module]) -> nn.ModuleList:
        """Return a branch for each level, or for each level the same one."""
        if self.with_box_refine:
            return nn.ModuleList(make() for _ in range(self.num_levels))
        return nn.ModuleList([make()] * self.num_levels)

    def init_weights(self) -> None:
        """Initialise as the official code: every class has probability 0.01, levels start as copies of one another.

        Boxes are not moved at first, and have the size that a logit of -2 stands for. The biases of -2 of all mask
        coefficients but two are officially meant for boxes, too, and kept.
        """
        for branches in (self.cls_branches, self.reg_branches, *([self.iou_branches] if self.iou_aware else [])):
            for module in branches[0].modules():
                if isinstance(module, nn.Linear):
                    module.reset_parameters()
            for branch in branches[1:]:
                branch.load_state_dict(branches[0].state_dict())
        for branch in self.cls_branches:
            nn.init.constant_(branch.bias, PRIOR)
        for level, branch in enumerate(self.reg_branches):
            _start_at_zero(branch, beyond_two=-2.0 if level == 0 or not self.with_box_refine else 0.0)
        if self.with_vector:
            _start_at_zero(self.vector_branch, beyond_two=-2.0)
        if self.token_label:
            for linear in (self.enc_output, self.token_embed):
                nn.init.xavier_uniform_(linear.weight)
            nn.init.constant_(self.token_embed.bias, PRIOR)
        super().init_weights()  # it ends with what a file of ``init_cfg`` says

    def forward(self, tokens: ViDTTokens) -> Predictions:
        """Return the predictions of all levels by all branches."""
        hidden = tokens.hidden
        return self._predictions(
            tokens,
            vectors=self.vector_branch(hidden) if self.with_vector else None,
            ious=_by_level(self.iou_branches, hidden) if self.iou_aware else None,
        )

    def _predictions(
        self, tokens: ViDTTokens, vectors: Tensor | ForMatched | None, ious: Tensor | ForMatched | None
    ) -> Predictions:
        return Predictions(
            logits=_by_level(self.cls_branches, tokens.hidden),
            boxes=tokens.boxes,
            vectors=vectors,
            ious=ious,
            tokens=self.token_logits(tokens) if self.token_label else None,
        )

    def token_logits(self, tokens: ViDTTokens) -> list[Tensor]:
        """Return the logits of the memory's tokens by level, ``(B, h, w, channels)``.

        Tokens of the padding and at the margin of the image count as zero.
        """
        memory = torch.cat(
            [
                (one * inside(padding)[:, None]).flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, hw, C)
                for one, padding in zip(tokens.memory, tokens.masks, strict=True)
            ],
            dim=1,
        )
        logits = self.token_embed(self.enc_output_norm(self.enc_output(memory)))
        sizes = [one.shape[-2:] for one in tokens.memory]
        parts = logits.split([height * width for height, width in sizes], dim=1)
        return [part.unflatten(1, size) for part, size in zip(parts, sizes, strict=True)]

    def loss(self, tokens: ViDTTokens, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the weighted losses of a batch; see :class:`ViDTCriterion`.

        Of the masks' and overlaps' branches, only those of matched queries are run.

        Args:
            tokens: what the detector computed.
            batch_data_samples: with ``gt_instances``.
        """
        instances, _, metas = unpack_gt_instances(batch_data_samples)
        predictions = self._predictions(
            tokens,
            vectors=ForMatched([self.vector_branch] * self.num_levels, tokens.hidden) if self.with_vector else None,
            ious=ForMatched(self.iou_branches, tokens.hidden) if self.iou_aware else None,
        )
        return self.criterion(predictions, instances, metas)

    def predict(self, tokens: ViDTTokens, batch_data_samples: SampleList, rescale: bool = True) -> list[InstanceData]:
        """Return the detections of each image; of the branches only those of the last level's detections are run.

        Args:
            tokens: what the detector computed.
            batch_data_samples: with ``ori_shape`` and ``img_shape`` of each image.
            rescale: give boxes and masks in pixels of the original image.

        Returns:
            ``scores``, descending, ``labels``, ``bboxes`` (x1, y1, x2, y2) and with vectors ``masks``, boolean
            ``(K, H, W)``, of each image.
        """
        hidden, boxes = tokens.hidden[-1], tokens.boxes[-1]
        scores, labels, queries = best_pairs(self.cls_branches[-1](hidden), self.test_cfg["max_per_img"])
        vectors = self.vector_branch(of_queries(hidden, queries)) if self.with_vector else None
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_by_feat(scores, labels, of_queries(boxes, queries), vectors, metas, rescale)

    def predict_by_feat(
        self,
        scores: Tensor,
        labels: Tensor,
        boxes: Tensor,
        vectors: Tensor | None,
        batch_img_metas: list[dict],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Return chosen predictions as detections, under the names of :meth:`predict`.

        Args:
            scores, labels: ``(B, K)``.
            boxes: (cx, cy, w, h) in [0, 1], ``(B, K, 4)``.
            vectors: coefficients of masks, ``(B, K, n_keep)``; None without masks.
            batch_img_metas, rescale: see :meth:`predict`.
        """
        sizes = sizes_of(batch_img_metas, rescale)
        found = to_instances(scores, labels, boxes, sizes, self.test_cfg["clip"])
        if vectors is not None:
            # in a clipped box a mask would be squeezed
            of_images = zip(found, vectors.float(), to_corners(boxes, sizes), sizes, strict=True)
            for one, coefficients, corners, (height, width) in of_images:
                one.masks = self.criterion.mask_coder.masks(coefficients, corners, height, width)
        return found


def perceptron(dims: int, outputs: int) -> nn.Sequential:
    """Return three linear layers, the inner two as wide as the input."""
    return nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, outputs))


def inside(padding: Tensor) -> Tensor:
    """Return which places of a map have their centre in the image without its outermost hundredth.

    Args:
        padding: True where there is no image, right of and below it, ``(B, h, w)``.
    """
    valid = ~padding
    parts = []
    for line in (valid[:, :, 0], valid[:, 0]):
        places = torch.arange(line.size(1), device=line.device) + 0.5
        centre = places / line.sum(1, keepdim=True)
        parts.append((centre > 0.01) & (centre < 0.99) & line)
    rows, columns = parts
    return rows[:, :, None] & columns[:, None]


def _by_level(branches: nn.ModuleList, hidden: Tensor) -> Tensor:
    return torch.stack([branch(state) for branch, state in zip(branches, hidden, strict=True)])


def _start_at_zero(branch: nn.Sequential, beyond_two: float) -> None:
    """Let a perceptron's outputs start at zero, and from the third on at a value."""
    nn.init.zeros_(branch[-1].weight)
    nn.init.zeros_(branch[-1].bias)
    nn.init.constant_(branch[-1].bias[2:], beyond_two)
