# Mask R-CNN with ViT-CoMer-L from DINOv2-L, 12 epochs on COCO (arXiv 2403.07392, table 1). Expected: 53.4 box AP and
# 46.8 mask AP on val2017.
# No config of it was published: the sizes follow from those of S and B. With DINOv2's 37 x 37 positions they make 364M
# parameters; the reported 363M are those of 14 x 14 positions. The learning rates by depth (0.8 times per block) and
# everything else in the training are our choice.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-l_dinov2_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py"

model = dict(
    backbone=dict(
        arch="large",
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
        ),
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=24, layer_decay_rate=0.8))
