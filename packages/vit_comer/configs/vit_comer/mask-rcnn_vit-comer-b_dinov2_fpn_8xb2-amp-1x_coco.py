# Mask R-CNN with ViT-CoMer-B from DINOv2-B, 12 epochs on COCO (arXiv 2403.07392, official README and table 1).
# Expected: 52.0 box AP and 45.5 mask AP on val2017, tested in fp16 there. Official config:
# detection/configs/mask_rcnn/dinov2/mask_rcnn_dinov2_comer_base_fpn_1x_coco.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-b_dinov2_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py"

model = dict(
    backbone=dict(
        arch="base",
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        ),
    ),
    neck=dict(in_channels=[768, 768, 768, 768]),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.6))
