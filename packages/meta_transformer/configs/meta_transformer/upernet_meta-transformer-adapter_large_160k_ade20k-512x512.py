# UPerNet with ViT-Adapter around Meta-Transformer-L14, 160,000 steps on ADE20K (arXiv 2307.10802; official config
# Image/segmentation/configs/ade20k/upernet_meta_transformer_large_512_160k_ade20k.py).
# Expected: no number of it is in the README. The official config cannot run: its patches of 14 pixels fit neither the
# adapter's positions nor its reference points; here patches have 16 pixels and the kernel is resized. It also counts 12
# blocks of 24 in the learning rates by depth, so that the later ones would learn faster than the heads; here 24.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer upernet_meta-transformer-adapter_large_160k_ade20k-512x512.py \
#     --launcher pytorch --gpus 8
_base_ = "upernet_meta-transformer-adapter_base_160k_ade20k-512x512.py"

model = dict(
    backbone=dict(
        arch="large",
        drop_path_rate=0.4,
        with_cp=True,
        init_cfg=dict(checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Image_Meta-Transformer_large_patch14.pth"),
    ),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024]),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=24))
