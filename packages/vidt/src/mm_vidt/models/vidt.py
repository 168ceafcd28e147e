"""ViDT (Song et al., ICLR 2022, arXiv 2110.03921) and ViDT+ (arXiv 2204.07962); naver-ai/vidt @ a8c48b5.

The body attends from [DET] tokens to patches, so that the decoder's queries come from it and no encoder is needed.
mmdet's DETR detectors have an encoder, level embeddings and positions of the memory; none of them is here.
"""

from __future__ import annotations

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import OptSampleList, SampleList
from torch import Tensor, nn

from mm_vidt.models.decoder import Memory, ViDTDecoder
from mm_vidt.models.ram import resize_mask
from mm_vidt.models.tokens import ViDTTokens
from mmrepro.detection.level_tables import KeptTables, shapes_and_starts
from mmrepro.engine.without_autocast import without_autocast


@MODELS.register_module()
class ViDT(BaseDetector):
    """Detector of a body with [DET] tokens, a neck, a decoder and the heads of all its levels.

    Args:
        backbone: config of the body, such as :class:`ViDTSwinTransformer`.
        neck: config of what brings the body's maps to the decoder's width: :class:`EPFF`, or mmdet's ``ChannelMapper``
            with ``kernel_size=1``, ``norm_cfg=dict(type="GN", num_groups=32)``, ``bias=True`` and ``act_cfg=None``.
        bbox_head: config of the :class:`ViDTHead`; ``num_levels`` follows from the decoder.
        decoder: arguments of :class:`ViDTDecoder`.
        data_preprocessor: as in mmdet; ``pad_size_divisor=1`` and ``pad_mask=False``: what is padding is seen from the
            sizes of images.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the head's ``num_levels`` or ``embed_dims`` is not the decoder's.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        bbox_head: dict,
        decoder: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.decoder = ViDTDecoder(**(decoder or {}))
        dims = self.decoder.embed_dims
        for name, value in {"num_levels": self.decoder.num_layers + 1, "embed_dims": dims}.items():
            if bbox_head.get(name, value) != value:
                raise ValueError(f"bbox_head has {name}={bbox_head[name]}, the decoder gives {value}: leave it out")
            bbox_head = {**bbox_head, name: value}
        self.bbox_head = MODELS.build(bbox_head)
        self.tgt_proj = token_projection(self.backbone.det_channels, dims)
        self.query_pos_proj = token_projection(self.backbone.det_pos_embed.size(-1), dims)
        self.reference_points_fc = nn.Linear(dims, 2)
        self._level_tables = KeptTables(shapes_and_starts)

    def init_weights(self) -> None:
        """Initialise the parts as they say, and the projections xavier-uniform without bias."""
        if not self.is_init:  # a second call changes nothing, as in mmengine
            for projection in (self.tgt_proj[0], self.query_pos_proj[0], self.reference_points_fc):
                nn.init.xavier_uniform_(projection.weight)
                nn.init.zeros_(projection.bias)
        super().init_weights()  # it ends with what a file of ``init_cfg`` says

    def extract_feat(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> tuple[Tensor, ...]:
        """Return the maps that queries attend to; see :attr:`ViDTTokens.memory`."""
        mask = padding_mask(batch_inputs, batch_data_samples)
        return tuple(self.neck(self.backbone(batch_inputs, mask).maps))

    def forward_tokens(self, images: Tensor, mask: Tensor) -> ViDTTokens:
        """Run body, neck and decoder.

        Args:
            images: ``(B, 3, H, W)``, zero where padded.
            mask: True where images are padded, ``(B, H, W)``.

        Raises:
            ValueError: the neck gives another number of maps than the decoder samples.
        """
        body = self.backbone(images, mask)
        maps = tuple(self.neck(body.maps))
        if len(maps) != self.decoder.num_levels:
            raise ValueError(
                f"the neck gives {len(maps)} maps, the decoder has num_levels={self.decoder.num_levels}: set it to that"
            )
        masks = tuple(resize_mask(mask, one.shape[-2:]) for one in maps)
        det = project(self.tgt_proj, body.det)
        with without_autocast(images):  # points rounded to bf16 turn gradients
            query_pos = project(self.query_pos_proj, body.det_pos)
            reference = self.reference_points_fc(query_pos).float().sigmoid()
        hidden, boxes = self.decoder(
            det,
            query_pos,
            self._memory(maps, masks),
            reference,
            self.bbox_head.reg_branches,
            self.bbox_head.with_box_refine,
        )
        return ViDTTokens(maps, masks, det, query_pos, reference, hidden, boxes)

    def _memory(self, maps: tuple[Tensor, ...], masks: tuple[Tensor, ...]) -> Memory:
        return Memory(
            torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1),
            torch.cat([one.flatten(1) for one in masks], 1),
            *self._level_tables(maps),
            torch.stack([valid_ratio(one) for one in masks], 1),
        )

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the weighted losses of a batch; see :class:`ViDTCriterion`."""
        tokens = self.forward_tokens(batch_inputs, padding_mask(batch_inputs, batch_data_samples))
        return self.bbox_head.loss(tokens, batch_data_samples)

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        """Return the samples with their detections in ``pred_instances``; see :meth:`ViDTHead.predict`."""
        tokens = self.forward_tokens(batch_inputs, padding_mask(batch_inputs, batch_data_samples))
        found = self.bbox_head.predict(tokens, batch_data_samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> tuple[Tensor, ...]:
        """Return logits and boxes of all levels, and what else the heads predict, as tensors one after the other."""
        tokens = self.forward_tokens(batch_inputs, padding_mask(batch_inputs, batch_data_samples))
        found = self.bbox_head(tokens)
        parts = (found.logits, found.boxes, found.vectors, found.ious, *(found.tokens or ()))
        return tuple(part for part in parts if part is not None)


def padding_mask(images: Tensor, samples: OptSampleList) -> Tensor:
    """Return where images are padded, ``(B, H, W)``: right of and below their ``img_shape``.

    Args:
        images: ``(B, 3, H, W)``.
        samples: with the ``img_shape`` of each; None where nothing is padded.
    """
    height, width = images.shape[-2:]
    if samples is None:
        return images.new_zeros(len(images), height, width, dtype=torch.bool)
    sizes = torch.tensor([sample.img_shape[:2] for sample in samples], device=images.device)
    rows = torch.arange(height, device=images.device) >= sizes[:, :1]
    columns = torch.arange(width, device=images.device) >= sizes[:, 1:]
    return rows[:, :, None] | columns[:, None]


def token_projection(channels: int, dims: int) -> nn.Sequential:
    """Return a 1x1 convolution with a norm over groups of 8 channels and all tokens of an image."""
    return nn.Sequential(nn.Conv2d(channels, dims, 1), nn.GroupNorm(32, dims))


def project(projection: nn.Sequential, tokens: Tensor) -> Tensor:
    """Return projected tokens, ``(B, N, C)`` to ``(B, N, dims)``."""
    return projection(tokens.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)


def valid_ratio(mask: Tensor) -> Tensor:
    """Return the part of a map that is not padding as (w, h), ``(B, h, w)`` to ``(B, 2)``."""
    return torch.stack([(~mask[:, 0]).float().mean(1), (~mask[:, :, 0]).float().mean(1)], -1)
