# A small UPerNet for the quickstart and CamVid: a ViT of 4 blocks and 64 channels, plain batch norm, which needs no
# accelerator. It begins with random weights: nobody publishes any of this size.
_base_ = "./upernet_vit-comer-t.py"

norm_cfg = dict(type="BN")
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        _delete_=True,
        type="ViTCoMer",
        arch=dict(embed_dim=64, depth=4, num_heads=4),
        variant="seg",
        pretrain_size=128,
        conv_inplane=16,
        deform_num_heads=4,
        mrfp_ratio=1.0,
        init_values=0.1,  # there is no pre-trained ViT to be spared at the start
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=64, num_classes=4, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=64, channels=32, num_classes=4, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode="whole"),
)
del norm_cfg
