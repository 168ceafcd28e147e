# Cascade Mask R-CNN, mmdet's own, with ViT-CoMer-S, which begins as DINOv2-S.
_base_ = "mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ViTCoMer",
        arch="small",
        variant="det",
        drop_path_rate=0.2,
        pretrain_size=592,
        with_cp=False,
        init_cfg=dict(
            type="PretrainedViT",
            checkpoint="https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
            source="dinov2",
        ),
    ),
    neck=dict(in_channels=[384, 384, 384, 384]),
)
