# UPerNet with ViT-CoMer-T from DeiT-T, 160,000 steps on ADE20K (arXiv 2403.07392, official README).
# Expected: 43.5 mIoU on the validation pictures at one scale, tested in fp16 there. Official config:
# segmentation/configs/ade20k/upernet_vit_comer_tiny_512_160k_ade20k.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/upernet_vit-comer-t.py",
    "../_base_/datasets/ade20k_512x512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/runtime_mmseg.py",
    "../_base_/tiny_mmseg.py",
]

optim_wrapper = dict(optimizer=dict(lr=1.2e-4))

tiny = {
    "model.backbone.pretrain_size": 64,
    "model.decode_head": dict(in_channels=[32, 32, 32, 32], channels=16, num_classes=4, norm_cfg=dict(type="BN")),
    "model.auxiliary_head": dict(in_channels=32, channels=16, num_classes=4, norm_cfg=dict(type="BN")),
}
