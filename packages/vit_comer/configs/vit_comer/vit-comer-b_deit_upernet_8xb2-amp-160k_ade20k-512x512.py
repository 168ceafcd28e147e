# UPerNet with ViT-CoMer-B from DeiT-B, 160,000 steps on ADE20K (arXiv 2403.07392, official README). The README's row
# says DeiT-S, its config DeiT-B; no weights of it were published.
# Expected: 48.8 mIoU on the validation pictures at one scale, tested in fp16 there. Official config:
# segmentation/configs/ade20k/upernet_vit_comer_base_512_160k_ade20k.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer vit-comer-b_deit_upernet_8xb2-amp-160k_ade20k-512x512.py --launcher pytorch --gpus 8
_base_ = "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512.py"

model = dict(
    backbone=dict(
        arch="base",
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint="https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth",
        ),
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
    auxiliary_head=dict(in_channels=768),
)
optim_wrapper = dict(optimizer=dict(lr=6e-5))
