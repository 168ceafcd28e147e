# Mask R-CNN with ViT-CoMer-T from DeiT-T, 12 epochs on COCO (arXiv 2403.07392, table 1). Expected: 42.1 box AP and
# 38.0 mask AP on val2017.
# No config of it was published: the sizes are those of the published UPerNet with T and agree with the reported
# number of parameters; weights of DeiT-T and the training, that of S, are our choice.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-t_in1k_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py"

model = dict(
    backbone=dict(
        arch="tiny",
        drop_path_rate=0.1,
        pretrain_size=224,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth",
            source="deit",
        ),
    ),
    neck=dict(in_channels=[192, 192, 192, 192]),
)
