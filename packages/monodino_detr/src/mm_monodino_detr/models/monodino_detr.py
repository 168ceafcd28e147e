"""MonoDINO-DETR (arXiv 2502.00315, IEEE IV 2025; JihyeokKim/MonoDINO-DETR @ 65004cc): 3D detection from one image.

A frozen DINOv2 with the depth head of Depth Anything V2 takes the place of MonoDETR's ResNet. mmdet3d's detectors of
one camera have neither; its registry and structures are not needed.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import OptSampleList, SampleList
from torch import Tensor
from torch.nn.functional import interpolate, pad

from mm_monodino_detr.models.decoded_queries import DecodedQueries, collect_cameras
from mm_monodino_detr.models.depth_aware_decoder import DepthAwareDecoder
from mm_monodino_detr.models.dinov2_vit import PATCH
from mm_monodino_detr.models.dpt_head import LEVELS
from mm_monodino_detr.models.level_tables import Levels, level_tables
from mm_monodino_detr.models.queries import BoxQueries, PointQueries
from mm_monodino_detr.models.visual_encoder import VisualEncoder
from mmrepro.detection.level_tables import KeptTables


class Features(NamedTuple):
    """What the detector sees in B images."""

    maps: tuple[Tensor, ...]  # of each level, (B, C, h, w)
    levels: Levels
    relative_depth: Tensor  # relative inverse depth on the grid of patches, (B, 1, h, w)


@MODELS.register_module()
class MonoDINODETR(BaseDetector):
    """Detector of 3D boxes with a frozen ViT and depth model, an encoder of maps and a depth-aware decoder.

    Images are padded with zeros to multiples of 14 pixels, right of and below them, and resized to ``target_size``;
    boxes stay in parts of the image without that padding, as officially, which is 0.6 % of the width and 2 % of the
    height of a KITTI input.

    Args:
        backbone: config of the :class:`DINOv2ViT`.
        depth_head: config of the :class:`DPTDepthHead`.
        neck: config of the :class:`HierarchicalFeatureFusion`, which takes the last of the backbone's levels.
        depth_predictor: config of the :class:`DepthPredictor`.
        bbox_head: config of the :class:`MonoDETRHead`; numbers that follow from the other parts may be left out:
            ``embed_dims``, ``num_layers``, ``group_num`` and those of the depth bins.
        encoder: arguments of :class:`VisualEncoder`.
        decoder: arguments of :class:`DepthAwareDecoder`.
        num_queries: queries of a group, and so the most objects of an image.
        group_num: groups of queries in training; the first alone is used afterwards.
        target_size: what images are resized to, in pixels: a side, or (H, W). Multiples of 14. A size that is not the
            ViT's own resizes its position embedding.
        data_preprocessor: as in mmdet.
        init_cfg: as in mmengine.

    Raises:
        ValueError: ``target_size`` is not of multiples of 14, channels or levels of two parts differ, or the head says
            other numbers than the parts that they follow from.
    """

    def __init__(
        self,
        backbone: dict,
        depth_head: dict,
        neck: dict,
        depth_predictor: dict,
        bbox_head: dict,
        encoder: dict | None = None,
        decoder: dict | None = None,
        num_queries: int = 50,
        group_num: int = 11,
        target_size: int | tuple[int, int] = 518,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.target_size = (target_size, target_size) if isinstance(target_size, int) else tuple(target_size)
        if any(side < PATCH or side % PATCH for side in self.target_size):
            raise ValueError(f"target_size={target_size} must be of multiples of {PATCH}, the side of a patch")
        self.group_num = group_num
        self.backbone = MODELS.build(backbone)
        self.depth_head = MODELS.build(depth_head)
        self.neck = MODELS.build(neck)
        self.depth_predictor = MODELS.build(depth_predictor)
        self.encoder = VisualEncoder(**(encoder or {}))
        self.decoder = DepthAwareDecoder(**(decoder or {}))
        dims = self.decoder.embed_dims
        for part, width in {
            "neck.out_channels": self.neck.out_channels,
            "depth_predictor.embed_dims": self.depth_predictor.embed_dims,
            "encoder.embed_dims": self.encoder.embed_dims,
        }.items():
            if width != dims:
                raise ValueError(f"{part} is {width} and decoder.embed_dims is {dims}. Fix: set both to one number")
        for part in ("neck", "depth_head"):
            taken, given = getattr(self, part).in_channels, self.backbone.embed_dims
            if taken != given:
                raise ValueError(f"the {part} takes {taken} channels, the backbone gives {given}. Fix: set them alike")
        maps, blocks = len(self.neck.input_proj), len(self.backbone.out_indices)
        for part in ("encoder", "decoder"):
            if (taken := getattr(self, part).num_levels) != maps:
                raise ValueError(f"{part}.num_levels is {taken}, the neck gives {maps} maps. Fix: set it to {maps}")
        if blocks != LEVELS:
            raise ValueError(
                f"the backbone gives tokens of {blocks} blocks, the depth_head takes those of {LEVELS}. "
                f"Fix: {LEVELS} out_indices of the backbone"
            )
        follows = {
            "embed_dims": dims,
            "num_layers": self.decoder.num_layers,
            "group_num": group_num,
            "num_depth_bins": self.depth_predictor.num_depth_bins,
            "depth_min": self.depth_predictor.depth_min,
            "depth_max": self.depth_predictor.depth_max,
        }
        for name, value in follows.items():
            if bbox_head.get(name, value) != value:
                raise ValueError(
                    f"bbox_head has {name}={bbox_head[name]}, the other parts have {value}. Fix: leave it out there"
                )
        self.bbox_head = MODELS.build({**bbox_head, **follows})
        self.queries = (BoxQueries if self.decoder.use_dab else PointQueries)(num_queries, group_num, dims)
        self._level_tables = KeptTables(partial(level_tables, embed_dims=dims))

    def extract_feat(self, batch_inputs: Tensor) -> Features:
        """Return what encoder and depth predictor read.

        Args:
            batch_inputs: normalised RGB images, ``(B, 3, H, W)``.
        """
        tokens, grid = self.backbone(fit_to_patches(batch_inputs, self.target_size))
        maps = self.neck(tokens[-len(self.neck.input_proj) :], grid)
        return Features(maps, self._level_tables(maps), self.depth_head.sampled(tokens, grid))

    def decode(self, features: Features) -> DecodedQueries:
        """Return the queries after each layer of the decoder: those of all groups in training, else of the first.

        Args:
            features: what :meth:`extract_feat` returned.
        """
        depth = self.depth_predictor(features.relative_depth, features.levels.positions[-1])
        memory = self.encoder(features.maps, features.levels)
        hidden, boxes = self.decoder(
            self.queries(len(memory.tokens)),
            memory,
            depth.tokens,
            self.bbox_head.reg_branches,
            self.group_num if self.training else 1,
        )
        return DecodedQueries(hidden, boxes, depth)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the weighted losses of a batch; see :class:`MonoDETRHead`."""
        return self.bbox_head.loss(self.decode(self.extract_feat(batch_inputs)), batch_data_samples)

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        """Return the samples with their detections in ``pred_instances``; see :meth:`MonoDETRHead.predict`.

        Args:
            batch_inputs: normalised RGB images, ``(B, 3, H, W)``.
            batch_data_samples: with ``cam2img`` and ``ori_shape`` in the metainfo.
            rescale: not read: a 3D box has no place but in the original camera's space.
        """
        found = self.bbox_head.predict(self.decode(self.extract_feat(batch_inputs)), batch_data_samples)
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None) -> tuple[Tensor, ...]:
        """Return what is predicted as tensors one after the other, in the order of :class:`Predictions`.

        Without samples there are no cameras, and so no distances of objects: what :meth:`decode` returns is given
        instead, queries, boxes, and the logits and depths of the depth map.
        """
        decoded = self.decode(self.extract_feat(batch_inputs))
        if batch_data_samples is None:
            return decoded.hidden, decoded.boxes, decoded.depth.logits, decoded.depth.weighted
        cameras = collect_cameras([sample.metainfo for sample in batch_data_samples], decoded.boxes)
        return tuple(vars(self.bbox_head(decoded, cameras)).values())


def fit_to_patches(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images that a ViT takes, ``(B, 3, H, W)`` to ``(B, 3, *size)``.

    Args:
        images: normalised, so that the zeros that they are padded with are the mean colour.
        size: (H, W) to which they are resized, whatever their aspect.
    """
    height, width = images.shape[-2:]
    padded = pad(images, (0, -width % PATCH, 0, -height % PATCH))
    return interpolate(padded, size, mode="bilinear", align_corners=False)
