# Mask R-CNN with ViT-CoMer-L from AugReg-L of ImageNet-22k, 12 epochs on COCO (arXiv 2403.07392, table 1). Expected:
# 51.4 box AP and 45.2 mask AP on val2017.
# No config of it was published: the sizes follow from those of S and B and agree with the reported number of
# parameters; the learning rates by depth (0.8 times per block) and everything else in the training are our choice,
# the weights (AugReg-L of ImageNet-22k) included.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-l_in22k_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py"

model = dict(
    backbone=dict(
        arch="large",
        drop_path_rate=0.3,
        pretrain_size=224,
        init_cfg=dict(
            checkpoint="https://huggingface.co/timm/vit_large_patch16_224.augreg_in21k/resolve/main/pytorch_model.bin",
            source="augreg",
        ),
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=24, layer_decay_rate=0.8))
