# Mask R-CNN with ViT-CoMer-S from DeiT-S, 12 epochs on COCO (arXiv 2403.07392, table 1). Expected: 45.8 box AP and
# 40.5 mask AP on val2017.
# No config of it was published: weights of DeiT-S with their 14 x 14 positions, and the training published with
# DINOv2 are our choice.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-s_in1k_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py"

model = dict(
    backbone=dict(
        pretrain_size=224,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
            source="deit",
        ),
    ),
)
