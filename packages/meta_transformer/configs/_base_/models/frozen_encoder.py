# The base encoder with the released weights, frozen: what the models of all modalities begin with.
model = dict(
    encoder=dict(
        type="MetaTransformerEncoder",
        arch="base",
        frozen=True,
        with_cp=False,
        init_cfg=dict(
            type="PretrainedMetaEncoder",
            checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Meta-Transformer_base_patch16_encoder.pth",
        ),
    ),
)
