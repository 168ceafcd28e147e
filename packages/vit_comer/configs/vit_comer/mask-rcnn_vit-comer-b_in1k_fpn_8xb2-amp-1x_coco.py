# Mask R-CNN with ViT-CoMer-B from DeiT-B, 12 epochs on COCO (arXiv 2403.07392, table 1). Expected: 47.6 box AP and
# 41.8 mask AP on val2017.
# No config of it was published: weights of DeiT-B with their 14 x 14 positions, and the training published with
# DINOv2 are our choice.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-b_in1k_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py"

model = dict(
    backbone=dict(
        arch="base",
        drop_path_rate=0.3,
        pretrain_size=224,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth",
            source="deit",
        ),
    ),
    neck=dict(in_channels=[768, 768, 768, 768]),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.6))
