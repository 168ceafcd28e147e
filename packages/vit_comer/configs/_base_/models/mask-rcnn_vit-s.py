# Mask R-CNN with a plain ViT-S, which begins as DeiT-S: four maps from four depths, without a convolutional branch; the
# heads are mmdet's own (arXiv 2403.07392, baseline).
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ViTBaseline",
        embed_dim=384,
        depth=12,
        num_heads=6,
        out_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
        window_attn=(True, True, False) * 4,
        window_size=(14, 14, None) * 4,
        pretrain_size=224,
        with_cp=False,  # True: less memory, more time
        init_cfg=dict(
            type="PretrainedViT",
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
            source="deit",
        ),
    ),
    neck=dict(in_channels=[384, 384, 384, 384]),
)
