"""The stored cases of whole networks: the heads of Mask R-CNN and the segmentors with UPerNet, built by our configs."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmrepro.testing import SplitAdapter, load_config

TESTS = Path(__file__).resolve().parent
CONFIGS = TESTS.parent / "configs/vit_comer"
BACKBONE = SplitAdapter(TESTS, {}).part("parity_backbone")
EVERY = {"rpn": int(1e7), "rcnn": int(1e6)}  # so many samples that none is left out, as in the case
UPERNET = "deit_upernet_8xb2-amp-160k_ade20k-512x512"
SIZES = {192: "t", 384: "s"}


def det_maskrcnn_heads(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run neck and heads of the detector on given maps, boxes and proposals."""
    network = heads()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    network.eval()
    given = {name: torch.from_numpy(value) for name, value in inputs.items()}
    maps = [given[f"f{level}"] for level in (1, 2, 3, 4)]
    size = tuple(4 * side for side in maps[0].shape[-2:])
    with torch.inference_mode():
        pyramid = network["neck"](maps)
        scores, deltas = network["rpn_head"](pyramid)
        found = {f"fpn{level}": one for level, one in enumerate(pyramid, 2)}
        found |= {f"rpn_cls{level}": one for level, one in enumerate(scores)}
        found |= {f"rpn_reg{level}": one for level, one in enumerate(deltas)}
        found |= rpn_losses(network["rpn_head"], scores, deltas, given, size)
        found |= roi_outputs(network["roi_head"], pyramid, given, size)
    return BACKBONE.arrays(found)


def heads() -> nn.ModuleDict:
    """Build neck and heads of the detector's config, with samplers that keep everything."""
    config = load_config(CONFIGS / "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco.py").model
    training = {name: copy.deepcopy(config.train_cfg[name]) for name in EVERY}
    for name, count in EVERY.items():
        training[name].sampler.num = count
    with DefaultScope.overwrite_default_scope("mmdet"):
        return nn.ModuleDict(
            {
                "neck": MODELS.build(config.neck),
                "rpn_head": MODELS.build(
                    dict(config.rpn_head, train_cfg=training["rpn"], test_cfg=config.test_cfg.rpn)
                ),
                "roi_head": MODELS.build(
                    dict(config.roi_head, train_cfg=training["rcnn"], test_cfg=config.test_cfg.rcnn)
                ),
            }
        )


def rpn_losses(
    head: nn.Module, scores: list[Tensor], deltas: list[Tensor], given: dict[str, Tensor], size: tuple[int, int]
) -> dict[str, Tensor]:
    """Return the losses of the proposals, summed over levels, and how many anchors are positive and negative."""
    metas = [dict(img_shape=size, pad_shape=size)]
    boxes = given["gt_bboxes0"]
    wanted = [InstanceData(bboxes=boxes, labels=boxes.new_zeros(len(boxes), dtype=torch.long))]
    losses = head.loss_by_feat(scores, deltas, wanted, metas)
    anchors, valid = head.get_anchors([one.shape[-2:] for one in scores], metas, device="cpu")
    labels, weights, *_ = head.get_targets(anchors, valid, wanted, metas)
    counted = torch.cat([one.flatten() for one in weights]) > 0
    positive = torch.cat([one.flatten() for one in labels])[counted] == 0
    counts = torch.stack([positive.sum(), (~positive).sum()])
    return {name: torch.stack(one).sum().double()[None] for name, one in losses.items()} | {"rpn_num_pos_neg": counts}


def roi_outputs(
    head: nn.Module, pyramid: tuple[Tensor, ...], given: dict[str, Tensor], size: tuple[int, int]
) -> dict[str, Tensor]:
    """Return what the heads say of given regions, and the losses for given proposals."""
    predicted = head._bbox_forward(pyramid[:4], given["rois"])
    masks = head._mask_forward(pyramid[:4], given["rois"])
    sample = DetDataSample(metainfo=dict(img_shape=size))
    boxes = given["gt_bboxes0"]
    sample.gt_instances = InstanceData(bboxes=boxes, labels=given["gt_labels0"], masks=ellipses(boxes, size))
    proposals = [InstanceData(bboxes=given["proposals0"], labels=torch.zeros(len(given["proposals0"])))]
    losses = head.loss(pyramid[:4], proposals, [sample])
    return {
        "roi_cls": predicted["cls_score"],
        "roi_reg": predicted["bbox_pred"],
        "roi_mask": masks["mask_preds"],
        **{f"roi_{name}": one.double().reshape(1) for name, one in losses.items()},
    }


def ellipses(boxes: Tensor, size: tuple[int, int]) -> BitmapMasks:
    """Return the masks of ellipses in boxes."""
    y, x = np.mgrid[: size[0], : size[1]]
    drawn = []
    for left, top, right, bottom in boxes.double().numpy():
        across = (x - (left + right) / 2) / ((right - left) / 2)
        down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
        drawn.append((across**2 + down**2 <= 1).astype(np.uint8))
    return BitmapMasks(drawn, *size)


def seg_upernet(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run a segmentor's config, and keep what the parts of its backbone return."""
    size = SIZES[manifest["config"]["backbone"]["embed_dim"]]
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(load_config(CONFIGS / f"vit-comer-{size}_{UPERNET}.py").model)
    BACKBONE.load(model, state)
    model.eval()
    image = torch.from_numpy(inputs["image"])
    with torch.inference_mode(), BACKBONE.recorded(model.backbone) as found:
        maps = model.backbone(image)
        found |= {f"f{level}": one for level, one in enumerate(maps, 1)}
        found["decode_logits"], found["aux_logits"] = model.decode_head(maps), model.auxiliary_head(maps)
        found["encode_decode"] = model.decode_head.predict_by_feat(
            found["decode_logits"], [dict(img_shape=image.shape[-2:])]
        )
    return BACKBONE.arrays(found)
