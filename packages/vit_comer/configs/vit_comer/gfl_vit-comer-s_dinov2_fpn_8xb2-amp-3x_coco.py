# Not a row of the paper that can be checked: GFL, mmdet's own, with ViT-CoMer-S from DINOv2-S. The authors published
# neither a config nor weights of it; the training is that of Mask R-CNN, without masks.
# Cost: 8 GPUs, 2 images each; not measured.
#
#   mim train mmrepro-vit-comer gfl_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = "atss_vit-comer-s_dinov2_fpn_8xb2-amp-3x_coco.py"

equal = ("num_classes", "in_channels", "stacked_convs", "feat_channels", "anchor_generator")
model = dict(
    type="GFL",
    bbox_head=dict(
        {name: _base_.model.bbox_head[name] for name in equal},
        _delete_=True,
        type="GFLHead",
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
        reg_max=16,
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    ),
)
del equal
