"""Small detectors and a config around one, for the tests of what uses whole detectors."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

DIMS, CLASSES, QUERIES = 32, 3, 12
SWIN = dict(
    type="ViDTSwinTransformer",
    arch=dict(embed_dims=16, depths=(2, 1, 1, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0),
)
COAT = dict(type="ViDTCoaT", arch=dict(embed_dims=(16, 32, 64, 128), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2)))
EPFF = dict(type="EPFF", in_channels=[32, 64, 128, DIMS], out_channels=DIMS)
MAPPER = dict(
    type="ChannelMapper",
    in_channels=[32, 64, 128, DIMS],
    kernel_size=1,
    out_channels=DIMS,
    norm_cfg=dict(type="GN", num_groups=32),
    bias=True,
    act_cfg=None,
    num_outs=4,
)
PREPROCESSOR = dict(
    type="DetDataPreprocessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_size_divisor=1,
)
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(96, 96), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]


def _vidt(body: dict, neck: dict, cross_stages: tuple[int, ...] = (3,), **head: object) -> dict:
    return dict(
        type="ViDT",
        data_preprocessor=PREPROCESSOR,
        backbone=dict(body, num_det_tokens=QUERIES, det_pos_dims=DIMS, cross_stages=cross_stages),
        neck=neck,
        decoder=dict(num_layers=2, embed_dims=DIMS, num_heads=8, feedforward_channels=48),
        bbox_head=dict(type="ViDTHead", num_classes=CLASSES, test_cfg=dict(max_per_img=10), **head),
    )


DETECTORS = {
    "plus": _vidt(SWIN, EPFF, iou_aware=True, with_vector=True, token_label=True, labels="raw"),
    "boxes": _vidt(SWIN, MAPPER),
    "coat": _vidt(COAT, MAPPER, cross_stages=(2, 3), with_box_refine=False),
    "neck-free": dict(
        type="ViDTNeckFree",
        data_preprocessor=PREPROCESSOR,
        backbone=dict(SWIN, num_det_tokens=QUERIES, det_pos_dims=DIMS, last_merging=False),
        bbox_head=dict(type="ViDTNeckFreeHead", num_classes=CLASSES, embed_dims=DIMS),
    ),
}


def settings(name: str) -> dict:
    """Return the settings of a detector, to be changed as one likes."""
    return copy.deepcopy(DETECTORS[name])


def built(model: dict) -> nn.Module:
    """Return a detector for predicting in which nothing starts at zero, so that everything has an effect."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):  # fixtures of a module come before that of conftest
        model = MODELS.build(model)
    for key, parameter in model.named_parameters():
        if not parameter.any() or "sampling_offsets" in key:
            nn.init.normal_(parameter, std=0.1)
        if key.startswith(("bbox_head.cls_branches", "bbox_head.cls_branch.4")):
            nn.init.normal_(parameter, std=0.5)  # scores that differ
    return model.eval()


def config_of(model: dict) -> Config:
    """Return a config of generated pictures with a detector."""
    return Config(
        dict(
            custom_imports=dict(imports=["mm_vidt"], allow_failed_imports=False),
            default_scope="mmdet",
            model=model,
            test_dataloader=dict(dataset=dict(type="ShapesCocoDataset", pipeline=copy.deepcopy(PIPELINE))),
            visualizer=dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")]),
        )
    )


def weights_of(model: dict, path: Path, **meta: object) -> Path:
    """Write weights of a detector and return their file."""
    torch.save({"state_dict": built(model).state_dict(), "meta": meta}, path)
    return path
