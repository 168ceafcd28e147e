# Mask R-CNN with a plain ViT-L from AugReg-L of ImageNet-22k, 36 epochs on COCO: the baseline (arXiv 2403.07392,
# table 1). Expected: 48.3 box AP and 43.4 mask AP on val2017.
# No config of it was published: that of S with the sizes of L, attention without windows in the last block of each
# quarter, weights of AugReg.
# Cost: 8 GPUs, 2 images each, as the published runs; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-l_in22k_fpn_8xb2-amp-3x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco.py"

model = dict(
    backbone=dict(
        embed_dim=1024,
        num_heads=16,
        depth=24,
        out_indices=(5, 11, 17, 23),
        window_attn=(True, True, True, True, True, False) * 4,
        window_size=(14, 14, 14, 14, 14, None) * 4,
        init_cfg=dict(
            checkpoint="https://huggingface.co/timm/vit_large_patch16_224.augreg_in21k/resolve/main/pytorch_model.bin",
            source="augreg",
        ),
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
