# UPerNet with ViT-Adapter around Meta-Transformer-B16, 160,000 steps on ADE20K (arXiv 2307.10802, semantic
# segmentation table; official config
# Image/segmentation/configs/ade20k/upernet_meta_transformer_base_512_160k_ade20k.py).
# Expected: 51.0 mIoU on the validation pictures at one scale, quoted from memory of the paper and not verified.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer upernet_meta-transformer-adapter_base_160k_ade20k-512x512.py \
#     --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/upernet_meta-adapter-b.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/adapter_160k.py",
    "../_base_/dense_mmseg.py",
    "../_base_/dense_tiny_mmseg.py",
]
