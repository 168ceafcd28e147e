# Mask R-CNN with ViT-CoMer-S, which begins as DINOv2-S; the heads are mmdet's own (arXiv 2403.07392).
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ViTCoMer",
        arch="small",
        variant="det",
        drop_path_rate=0.2,
        pretrain_size=592,
        with_cp=False,  # True, and cti_with_cp=True: less memory, more time
        init_cfg=dict(
            type="PretrainedViT",
            checkpoint="https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
            source="dinov2",
        ),
    ),
    neck=dict(in_channels=[384, 384, 384, 384]),
)
