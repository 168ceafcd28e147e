"""ViDT without its neck (arXiv 2110.03921; naver-ai/vidt @ 5207d04): a body with [DET] tokens, and two heads."""

from __future__ import annotations

from mmdet.models.detectors import BaseDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import OptSampleList, SampleList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mm_vidt.models.coat_lite import ViDTCoaT
from mm_vidt.models.detections import sizes_of, to_instances
from mm_vidt.models.neck_free_criterion import NeckFreeCriterion
from mm_vidt.models.predictions import Predictions
from mm_vidt.models.ram_swin import STAGES, ViDTSwinTransformer
from mm_vidt.models.vidt import padding_mask, project, token_projection
from mm_vidt.models.vidt_head import perceptron


@MODELS.register_module()
class ViDTNeckFreeHead(BaseModule):
    """Classes by softmax, with the background as the last, and boxes of the projected [DET] tokens.

    Args:
        num_classes: classes without the background; 91 where labels are COCO's raw category ids, as officially.
        embed_dims: channels.
        criterion: arguments of :class:`NeckFreeCriterion` beside the number of classes.
        test_cfg: ``clip``, whether boxes are brought into the image, which the official code does not.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int = 256,
        criterion: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes, self.embed_dims = num_classes, embed_dims
        self.test_cfg = {"clip": False, **(test_cfg or {})}
        self.criterion = NeckFreeCriterion(num_classes=num_classes, **(criterion or {}))
        self.cls_branch = perceptron(embed_dims, num_classes + 1)
        self.reg_branch = perceptron(embed_dims, 4)

    def forward(self, tokens: Tensor) -> Predictions:
        """Return the predictions of the one level, with ``num_classes + 1`` logits.

        Args:
            tokens: ``(B, N, C)``.
        """
        return Predictions(self.cls_branch(tokens)[None], self.reg_branch(tokens).float().sigmoid()[None])

    def loss(self, tokens: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the weighted losses of a batch; see :class:`NeckFreeCriterion`.

        Args:
            tokens: ``(B, N, C)``.
            batch_data_samples: with ``gt_instances``.
        """
        instances, _, metas = unpack_gt_instances(batch_data_samples)
        return self.criterion(self(tokens), instances, metas)

    def predict(self, tokens: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> list[InstanceData]:
        """Return the detections of each image.

        Args:
            tokens: ``(B, N, C)``.
            batch_data_samples: with ``ori_shape`` and ``img_shape`` of each image.
            rescale: give boxes in pixels of the original image.
        """
        found = self(tokens)
        return self.predict_by_feat(
            found.logits[0], found.boxes[0], [sample.metainfo for sample in batch_data_samples], rescale
        )

    def predict_by_feat(
        self, logits: Tensor, boxes: Tensor, batch_img_metas: list[dict], rescale: bool = True
    ) -> list[InstanceData]:
        """Return each query with its best class but the background, in the queries' order.

        Args:
            logits: ``(B, N, num_classes + 1)``.
            boxes: (cx, cy, w, h) in [0, 1], ``(B, N, 4)``.
            batch_img_metas, rescale: see :meth:`predict`.

        Returns:
            ``scores``, ``labels`` and ``bboxes`` (x1, y1, x2, y2) of each image.
        """
        scores, labels = logits.float().softmax(-1)[..., :-1].max(-1)
        return to_instances(scores, labels, boxes, sizes_of(batch_img_metas, rescale), self.test_cfg["clip"])


@MODELS.register_module()
class ViDTNeckFree(BaseDetector):
    """Detector of a body with [DET] tokens and heads alone.

    Args:
        backbone: config of the body, such as :class:`ViDTSwinTransformer` with ``last_merging=False``.
        bbox_head: config of the :class:`ViDTNeckFreeHead`.
        data_preprocessor: as in mmdet; see :class:`ViDT`.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the body would have weights that no token reads, and that get no gradient.
    """

    def __init__(
        self,
        backbone: dict,
        bbox_head: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.bbox_head = MODELS.build(bbox_head)
        self.input_proj = token_projection(self.backbone.det_channels, self.bbox_head.embed_dims)
        _check_all_read(self.backbone)
        if isinstance(self.backbone, ViDTSwinTransformer):
            # no token attends to what the last block makes of patches, so the bias of its windows gets no gradient
            last = self.backbone.stages[-1].blocks[-1]
            last.attn.w_msa.relative_position_bias_table.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialise the parts as they say, and the projection xavier-uniform without bias."""
        if not self.is_init:  # a second call changes nothing, as in mmengine
            nn.init.xavier_uniform_(self.input_proj[0].weight)
            nn.init.zeros_(self.input_proj[0].bias)
        super().init_weights()  # it ends with what a file of ``init_cfg`` says

    def extract_feat(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> Tensor:
        """Return the projected [DET] tokens, ``(B, N, C)``."""
        return project(self.input_proj, self.backbone(batch_inputs, padding_mask(batch_inputs, batch_data_samples)).det)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the weighted losses of a batch; see :class:`NeckFreeCriterion`."""
        return self.bbox_head.loss(self.extract_feat(batch_inputs, batch_data_samples), batch_data_samples)

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        """Return the samples with their detections in ``pred_instances``."""
        tokens = self.extract_feat(batch_inputs, batch_data_samples)
        found = self.bbox_head.predict(tokens, batch_data_samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> tuple[Tensor, Tensor]:
        """Return logits ``(1, B, N, num_classes + 1)`` and boxes ``(1, B, N, 4)``."""
        found = self.bbox_head(self.extract_feat(batch_inputs, batch_data_samples))
        return found.logits, found.boxes


def _check_all_read(backbone: nn.Module) -> None:
    """Refuse a body with weights that serve patches alone where no [DET] token attends to these patches.

    Raises:
        ValueError: there are some; several processes would stop at the second step.
    """
    if not isinstance(backbone, ViDTSwinTransformer | ViDTCoaT):
        return
    why = "without a neck no [DET] token reads"
    if STAGES - 1 not in backbone.cross_stages:
        stages = tuple(sorted(backbone.cross_stages))
        raise ValueError(
            f"backbone: cross_stages={stages}: {why} the patches of the last stage. Fix: add {STAGES - 1} to them"
        )
    if backbone.last_merging:
        raise ValueError(f"backbone: last_merging=True: {why} the map that it makes. Fix: last_merging=False")
    if isinstance(backbone, ViDTCoaT) and len(backbone.serial_blocks4) == 1:
        raise ValueError(
            f"backbone: the last of the arch's depths is 1: {why} the position encodings of that stage. Fix: 2 or more"
        )
