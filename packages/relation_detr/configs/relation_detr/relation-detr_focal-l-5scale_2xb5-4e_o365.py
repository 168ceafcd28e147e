# Relation-DETR, FocalNet-L of ImageNet-22k, five levels, 4 epochs on Objects365: what the COCO model starts from.
# Expected: no number is reported. Official option file:
# configs/relation_detr/relation_detr_focalnet_large_lrf_fl4_800_1333.py, which is for COCO; the one for Objects365 is
# not in the official repository: 366 outputs and 10 images per step are our reading.
# Cost: GPUs and time not stated; 24 GB do not suffice (official issues #15 and #18).
#
#   mim train mmrepro-relation-detr relation-detr_focal-l-5scale_2xb5-4e_o365.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_focal-l.py",
    "../_base_/datasets/o365.py",
    "../_base_/schedules/adamw_4e.py",
    "../_base_/default_runtime.py",
]

weights = "https://github.com/microsoft/FocalNet/releases/download/v1.0.0/focalnet_large_lrf_384_fl4.pth"
model = dict(
    backbone=dict(init_cfg=dict(type="PretrainedBackbone", checkpoint=weights)),
    bbox_head=dict(num_classes=366),
)
del weights
