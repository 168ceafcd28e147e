# UPerNet with ViT-CoMer-S from DeiT-S, 160,000 steps on ADE20K (arXiv 2403.07392, official README).
# Expected: 46.5 mIoU on the validation pictures at one scale, tested in fp16 there. Official config:
# segmentation/configs/ade20k/upernet_vit_comer_small_512_160k_ade20k.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer vit-comer-s_deit_upernet_8xb2-amp-160k_ade20k-512x512.py --launcher pytorch --gpus 8
_base_ = "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512.py"

model = dict(
    backbone=dict(
        arch="small",
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
        ),
    ),
    decode_head=dict(in_channels=[384, 384, 384, 384]),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(optimizer=dict(lr=6e-5))
