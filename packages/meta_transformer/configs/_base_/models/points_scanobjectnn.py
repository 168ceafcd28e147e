# Point clouds of ScanObjectNN: tokens of places in one stage, a frozen encoder, two summaries and a small head.
model = dict(
    type="MetaTransformerPointCls",
    tokenizer=dict(type="P3Tokenizer", in_channels=3, sample_ratio=0.25, group_size=32),
    encoder=dict(
        type="MetaTransformerEncoder",
        arch="base",
        frozen=True,
        init_cfg=dict(
            type="PretrainedMetaEncoder",
            checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Meta-Transformer_base_patch16_encoder.pth",
        ),
    ),
    global_features=("max", "cls"),
    head=dict(type="PointClsHead", num_classes=15),
)
