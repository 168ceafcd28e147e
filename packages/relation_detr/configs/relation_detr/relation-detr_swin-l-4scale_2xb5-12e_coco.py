# Relation-DETR, Swin-L of ImageNet-22k, four levels, 12 epochs on COCO (arXiv 2407.11699, official README's model zoo).
# Expected: 57.8 AP on val2017. Official option file: configs/relation_detr/relation_detr_swin_l_800_1333.py.
# Cost: 10 images per step as with ResNet-50; GPUs and time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_swin-l-4scale_2xb5-12e_coco.py --launcher pytorch --gpus 2
_base_ = "relation-detr_r50-4scale_2xb5-12e_coco.py"

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
