# Mask R-CNN with a plain ViT-T from DeiT-T, 36 epochs on COCO: the baseline (arXiv 2403.07392, table 1). Expected:
# 40.2 box AP and 37.0 mask AP on val2017.
# No config of it was published: that of S with the sizes of T.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-t_deit_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco.py"

model = dict(
    backbone=dict(
        embed_dim=192,
        num_heads=3,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth",
        ),
    ),
    neck=dict(in_channels=[192, 192, 192, 192]),
)
