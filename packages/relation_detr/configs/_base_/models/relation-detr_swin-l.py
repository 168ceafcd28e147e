# Relation-DETR with Swin-L of ImageNet-22k and four feature levels (arXiv 2407.11699).
_base_ = "relation-detr_r50.py"

weights = (
    "https://github.com/xiuqhou/pretrained_weights/releases/download/v1.0.2-beta/swin_large_patch4_window7_224_22k.pth"
)
model = dict(
    backbone=dict(
        _delete_=True,
        type="RelationSwin",
        embed_dims=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=7,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        init_cfg=dict(type="PretrainedBackbone", checkpoint=weights),
    ),
    neck=dict(in_channels=[384, 768, 1536]),
)
del weights

tiny = {
    "model.backbone": dict(
        _delete_=True, embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), frozen_stages=-1, init_cfg=None
    )
}
