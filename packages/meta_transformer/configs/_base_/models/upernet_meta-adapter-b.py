# UPerNet, mmsegmentation's own, with ViT-Adapter around Meta-Transformer-B16, for ADE20K's 150 classes at 512 x 512.
norm_cfg = dict(type="SyncBN")
head = dict(
    dropout_ratio=0.1,
    num_classes=150,
    norm_cfg=norm_cfg,
    align_corners=False,
)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type="ViTAdapterMeta",
        arch="base",
        variant="seg",
        drop_path_rate=0.3,
        with_cp=False,
        init_cfg=dict(
            type="PretrainedMetaViT",
            checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Image_Meta-Transformer_base_patch16.pth",
        ),
    ),
    decode_head=dict(
        head,
        type="UPerHead",
        in_channels=[768, 768, 768, 768],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        head,
        type="FCNHead",
        in_channels=768,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
del norm_cfg, head
