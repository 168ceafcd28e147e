"""Models of mmdet's and mmsegmentation's own zoos, tiny, on the CPU, with mmcv's operators served by mmrepro.

Each model is built from its config file as the installed package ships it. Three rules make it small: every width is
a quarter, nothing is downloaded or normalised across processes, and images, proposals and queries are few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from mmrepro.ops import ext, finder

# isort: split
# The finder stands now, and mmdet can be imported.
import mmcv._ext as extension
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

if not finder.is_served(extension):
    pytest.skip("the installed mmcv has compiled operators: nothing is served", allow_module_level=True)

SIDE = 64  # pixels
NARROWER = 4
WIDTHS = re.compile(r".*channels|feat_channel|embed_dims|num_feats|num_deconv_filters|rfp_inplanes")
# How many of what the models keep, sample or ask for: the key -> the most of it.
FEW = {
    "size": 64,
    "nms_pre": 40,
    "max_per_img": 20,
    "num_queries": 20,
    "num_dn_queries": 4,
    "num_points": 64,
    "num": 16,
    "subdivision_num_points": 64,
    "pre_anchor_topk": 4,
    "corner_topk": 32,
    "topk": 20,
}
DEFORM = "deform_conv_forward deform_conv_backward_input deform_conv_backward_parameters"
MODULATED = "modulated_deform_conv_forward modulated_deform_conv_backward"
ROI_ALIGN = "nms roi_align_forward roi_align_backward"
ROI_POOL = "nms deform_roi_pool_forward deform_roi_pool_backward"
MASKED = "masked_im2col_forward masked_col2im_forward"
# What no rule reaches: widths that the configs leave to a default.
NARROW_HEAD = {"bbox_head.embed_dims": 256 // NARROWER}
HOURGLASS = {"backbone.feat_channel": 256 // NARROWER, "test_cfg.distance_threshold": 1e6, "bbox_head.num_classes": 10}
ROI_POOL_LAYER = {
    "roi_head.bbox_roi_extractor.roi_layer": {"_delete_": True, "type": "RoIPool", "output_size": 7},
}
DCN_V2 = {
    "backbone.dcn": {"type": "DCNv2", "deform_groups": 1, "fallback_on_stride": False},
    "backbone.stage_with_dcn": (False, True, True, True),
}
# SAC's standardised weights would blow up activations that frozen statistics do not bring back to size.
BATCH_STATISTICS = {"backbone.norm_eval": False, "backbone.norm_cfg.momentum": 1.0}


@dataclass(frozen=True)
class Entry:
    """A model of a zoo.

    Args:
        config: its config file below the package's configs.
        operators: the operators of ``mmcv._ext`` that training and prediction call on the CPU.
        changes: what no rule reaches, as ``--cfg-options`` would say it.
        side: the images' side in pixels.
    """

    config: str
    operators: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    side: int = SIDE


MMDET = {
    "Faster R-CNN": Entry("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", ROI_ALIGN),
    "Mask R-CNN": Entry("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", ROI_ALIGN),
    "Cascade R-CNN": Entry("cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", ROI_ALIGN),
    "RetinaNet": Entry("retinanet/retinanet_r50_fpn_1x_coco.py", "nms"),
    "ATSS": Entry("atss/atss_r50_fpn_1x_coco.py", "nms"),
    "GFL": Entry("gfl/gfl_r50_fpn_1x_coco.py", "nms"),
    "DETR": Entry("detr/detr_r50_8xb2-150e_coco.py"),
    "DETR with DCNv2": Entry("detr/detr_r50_8xb2-150e_coco.py", MODULATED, DCN_V2),
    "Deformable DETR": Entry("deformable_detr/deformable-detr_r50_16xb2-50e_coco.py", changes=NARROW_HEAD),
    "DINO": Entry("dino/dino-4scale_r50_8xb2-12e_coco.py", changes=NARROW_HEAD),
    "DDQ": Entry("ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py", "nms", NARROW_HEAD),
    "Mask2Former": Entry("mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"),
    "DCN": Entry("dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py", f"{ROI_ALIGN} {DEFORM}"),
    "DCNv2": Entry("dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py", f"{ROI_ALIGN} {MODULATED}"),
    "deformable pooling": Entry("dcn/faster-rcnn_r50_fpn_dpool_1x_coco.py", ROI_POOL),
    "modulated deformable pooling": Entry("dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py", ROI_POOL),
    "RoIPool": Entry(
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", "nms roi_pool_forward roi_pool_backward", ROI_POOL_LAYER
    ),
    "guided anchoring": Entry("guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco.py", f"{ROI_ALIGN} {DEFORM} {MASKED}"),
    "GA-RetinaNet": Entry("guided_anchoring/ga-retinanet_r50_fpn_1x_coco.py", f"nms {DEFORM} {MASKED}"),
    "CARAFE": Entry("carafe/mask-rcnn_r50_fpn-carafe_1x_coco.py", f"{ROI_ALIGN} carafe_forward carafe_backward"),
    "SAC": Entry("detectors/cascade-rcnn_r50-sac_1x_coco.py", f"{ROI_ALIGN} {DEFORM}", BATCH_STATISTICS, side=128),
    "DetectoRS": Entry(
        "detectors/detectors_htc-r50_1x_coco.py",
        f"{ROI_ALIGN} {DEFORM}",
        {**BATCH_STATISTICS, "neck.rfp_backbone.norm_eval": False, "neck.rfp_backbone.norm_cfg.momentum": 1.0},
        side=128,
    ),
    "soft-NMS": Entry("faster_rcnn/faster-rcnn_r50_fpn_soft-nms_1x_coco.py", f"{ROI_ALIGN} softnms"),
    "PISA": Entry(
        "pisa/faster-rcnn_r50_fpn_pisa_1x_coco.py", f"{ROI_ALIGN} nms_match", {"train_cfg.rcnn.sampler.score_thr": 0.0}
    ),
    "CornerNet": Entry("cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py", "softnms", HOURGLASS),
    "CentripetalNet": Entry(
        "centripetalnet/centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco.py", f"softnms {DEFORM}", HOURGLASS
    ),
    "CenterNet": Entry("centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py", MODULATED),
    "RepPoints": Entry("reppoints/reppoints-moment_r50_fpn_1x_coco.py", f"nms {DEFORM}"),
    "Cascade RPN": Entry("cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py", f"{ROI_ALIGN} {DEFORM}"),
    "VFNet": Entry("vfnet/vfnet_r50_fpn_1x_coco.py", f"nms {DEFORM}"),
    "TOOD": Entry("tood/tood_r50_fpn_1x_coco.py", "nms deform_conv_forward deform_conv_backward_input"),
    "DyHead": Entry("dyhead/atss_r50_fpn_dyhead_1x_coco.py", f"nms {MODULATED}"),
    "PointRend": Entry("point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py", ROI_ALIGN),
    "FoveaBox": Entry("foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco.py", f"nms {DEFORM}"),
    "NAS-FCOS": Entry("nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py", f"nms {MODULATED}"),
    "SOLOv2": Entry("solov2/solov2-light_r50-dcn_fpn_ms-3x_coco.py", MODULATED),
}
MMSEG = {
    "UPerNet": Entry("upernet/upernet_r50_4xb4-80k_ade20k-512x512.py"),
    "Mask2Former": Entry("mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py"),
    "PSANet": Entry("psanet/psanet_r50-d8_4xb4-80k_ade20k-512x512.py", "psamask_forward psamask_backward"),
    "PointRend": Entry("point_rend/pointrend_r50_4xb4-160k_ade20k-512x512.py"),
    "CCNet": Entry("ccnet/ccnet_r50-d8_4xb4-80k_ade20k-512x512.py"),
}


# Served, but called by no model on the CPU, and why; the core's own tests call them.
ELSEWHERE = {
    "the report on the environment asks": "get_compiler_version get_compiling_cuda_version",
    "on the CPU mmcv's Python formulation is taken": "ms_deform_attn_forward ms_deform_attn_backward",
    "on the CPU the libraries' own formulation is taken": "sigmoid_focal_loss_forward sigmoid_focal_loss_backward",
    "only between processes": " ".join(
        f"sync_bn_{step}"
        for step in ("forward_mean", "forward_var", "forward_output", "backward_param", "backward_data")
    ),
    "in no config": "softmax_focal_loss_forward softmax_focal_loss_backward carafe_naive_forward carafe_naive_backward",
    "mmdet has its own": "bbox_overlaps",
    "detection in three dimensions": " ".join(f"points_in_boxes_{part}_forward" for part in ("cpu", "part", "all")),
}


def tiny(package: str, entry: Entry) -> dict:
    """Return the model of a config of an installed package, shrunk."""
    folder = Path(import_module(package).__path__[0]) / ".mim" / "configs"
    config = Config(shrunk(Config.fromfile(folder / entry.config).model.to_dict()))
    config.merge_from_dict(entry.changes)
    return config._cfg_dict


def shrunk(value: Any, key: str = "") -> Any:
    """Return a part of a config with a quarter of the channels, few of everything, and nothing to download."""
    if isinstance(value, dict):
        return _shrunk_dict(value)
    if isinstance(value, list | tuple):
        return type(value)(shrunk(part, key) for part in value)
    if key == "pretrained":
        return None
    if key == "score_thr":
        return 0.0  # an untrained model's boxes are kept
    if isinstance(value, int) and WIDTHS.fullmatch(key) and value % (8 * NARROWER) == 0:
        return value // NARROWER
    if isinstance(value, int) and key in FEW:
        return min(value, FEW[key])
    return value


def _shrunk_dict(value: dict) -> dict | None:
    kind = str(value.get("type"))
    if kind == "Pretrained":
        return None
    # Batch augmentations pad to the size of real images.
    value = {name: shrunk(part, name) for name, part in value.items() if name != "batch_augments"}
    if kind in ("SyncBN", "MMSyncBN"):
        value["type"] = "BN"
    if "ResNet" in kind and "depth" in value:
        value.update(base_channels=64 // NARROWER, stem_channels=64 // NARROWER)
    return value


def mmdet_images(count: int, side: int) -> dict:
    """Return images with boxes, masks and a semantic map."""
    return demo_mm_inputs(count, (3, side, side), num_items=[3, 2][:count], with_mask=True, with_semantic=True)


def mmseg_images(count: int, side: int) -> dict:
    """Return images with a map of five classes."""
    size = (side, side)
    samples = [
        SegDataSample(
            metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size),
            gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, side, side))),
        )
        for _ in range(count)
    ]
    return dict(inputs=list(torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)), data_samples=samples)


@pytest.fixture
def called(monkeypatch) -> set[str]:
    """The operators of `mmcv._ext` that are called during a test."""
    names, find = set(), extension.__getattr__

    def recording(name: str) -> Callable:
        operator = find(name)

        def call(*args: object, **kwargs: object) -> object:
            names.add(name)
            return operator(*args, **kwargs)

        return call

    monkeypatch.setattr(extension, "__getattr__", recording)
    return names


@pytest.fixture
def scope(request) -> Iterator[None]:
    """Let the registries look into the host library first, as its own tools do."""
    torch.manual_seed(0)
    MessageHub.get_current_instance().update_info("epoch", 0)  # a running loop says it; TOOD asks
    with DefaultScope.overwrite_default_scope(request.param):
        yield


def train_and_predict(model: torch.nn.Module, images: Callable[[int, int], dict], side: int) -> list:
    """Take the gradients of one training step, assert that all are there and finite, and return predictions.

    Training comes first: where normalisation uses a batch's statistics, prediction uses those of this one.
    """
    model.init_weights()  # some weights are unset memory before
    model.train()
    loss, _ = model.parse_losses(model(**model.data_preprocessor(images(2, side), training=True), mode="loss"))
    assert loss.isfinite()
    loss.backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert [name for name, gradient in gradients.items() if not gradient.isfinite().all()] == []
    assert any(gradient.any() for gradient in gradients.values())
    model.eval()
    with torch.no_grad():
        return model.test_step(images(1, side))  # guided anchoring's masked convolution takes one image


@pytest.mark.parametrize("scope", ["mmdet"], indirect=True)
@pytest.mark.parametrize("name", MMDET)
def test_detector(name, scope, called):
    entry = MMDET[name]
    (sample,) = train_and_predict(MODELS.build(tiny("mmdet", entry)), mmdet_images, entry.side)
    assert sample.pred_instances.scores.isfinite().all()
    assert called == set(entry.operators.split())


@pytest.mark.parametrize("scope", ["mmseg"], indirect=True)
@pytest.mark.parametrize("name", MMSEG)
def test_segmentor(name, scope, called):
    entry = MMSEG[name]
    (sample,) = train_and_predict(MODELS.build(tiny("mmseg", entry)), mmseg_images, entry.side)
    assert sample.pred_sem_seg.shape == (entry.side, entry.side)
    assert called == set(entry.operators.split())


def test_the_report_on_the_environment_asks_for_no_compiler():
    """Every run of mmdet's and mmsegmentation's tools begins with it."""
    from mmcv.utils import collect_env

    assert "mmrepro" in collect_env()["MMCV Compiler"]


def test_every_served_operator_is_called_by_a_model_or_has_a_reason():
    by_a_model = {name for entry in (*MMDET.values(), *MMSEG.values()) for name in entry.operators.split()}
    with_a_reason = {name for names in ELSEWHERE.values() for name in names.split()}
    assert by_a_model | with_a_reason == set(ext.MODULE_OF)
    assert not by_a_model & with_a_reason
