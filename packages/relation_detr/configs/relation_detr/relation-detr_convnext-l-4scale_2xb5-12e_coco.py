# Relation-DETR, ConvNeXt-L of ImageNet-1k, four levels, 12 epochs on COCO (arXiv 2407.11699).
# Expected: no number is reported. Official option file: configs/relation_detr/relation_detr_convnext_l_800_1333.py.
# Cost: 10 images per step as with ResNet-50; GPUs and time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_convnext-l-4scale_2xb5-12e_coco.py --launcher pytorch --gpus 2
_base_ = "relation-detr_r50-4scale_2xb5-12e_coco.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="RelationConvNeXt",
        arch="large",
        drop_path_rate=0.5,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        init_cfg=dict(type="PretrainedBackbone", checkpoint="torchvision://convnext_large.imagenet1k_v1"),
    ),
    neck=dict(in_channels=[384, 768, 1536]),
)

tiny = {
    "model.backbone": dict(
        _delete_=True,
        arch=dict(_delete_=True, depths=[1, 1, 1, 1], channels=[8, 16, 32, 64]),
        frozen_stages=0,
        init_cfg=None,
    )
}
