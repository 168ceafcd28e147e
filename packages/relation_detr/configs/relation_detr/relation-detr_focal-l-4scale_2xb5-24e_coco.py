# Not a row of the paper: Relation-DETR, FocalNet-L of ImageNet-22k, made smaller for GPUs of 24 GB as its authors
# advise (official issues #15 and #18): four levels in place of five, the backbone's first stage frozen, 800 x 1333
# pixels. Here backbone and encoder recompute activations in the backward pass too, which changes no number.
# Expected: no number is reported; the weights on Objects365 have five levels and do not fit.
# Cost: not measured; with less memory take fewer pictures per GPU and --auto-scale-lr.
#
#   mim train mmrepro-relation-detr relation-detr_focal-l-4scale_2xb5-24e_coco.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_focal-l.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_24e.py",
    "../_base_/default_runtime.py",
]

levels = 4
weights = "https://github.com/microsoft/FocalNet/releases/download/v1.0.0/focalnet_large_lrf_384_fl4.pth"
model = dict(
    num_feature_levels=levels,
    backbone=dict(
        out_indices=(1, 2, 3),
        frozen_stages=1,
        with_cp=True,
        init_cfg=dict(type="PretrainedBackbone", checkpoint=weights),
    ),
    neck=dict(in_channels=[384, 768, 1536], num_outs=levels),
    encoder=dict(with_cp=True, layer_cfg=dict(self_attn_cfg=dict(num_levels=levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=levels))),
)
del levels, weights

tiny = {"model.backbone.frozen_stages": -1, "model.neck.in_channels": [16, 32, 64]}
