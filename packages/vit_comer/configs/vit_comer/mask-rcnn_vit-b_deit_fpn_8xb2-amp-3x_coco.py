# Mask R-CNN with a plain ViT-B from DeiT-B, 36 epochs on COCO: the baseline (arXiv 2403.07392, official README and
# table 1). Expected: 45.8 box AP and 41.3 mask AP on val2017, tested in fp16 there. Official config:
# detection/configs/mask_rcnn/mask_rcnn_deit_base_fpn_3x_coco.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-b_deit_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco.py"

model = dict(
    backbone=dict(
        embed_dim=768,
        num_heads=12,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth",
        ),
    ),
    neck=dict(in_channels=[768, 768, 768, 768]),
)
