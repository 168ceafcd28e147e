# Scenes: tokens of places, colours and heights in two stages, a frozen encoder, and features carried back to points.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerPointSeg",
    tokenizer=dict(type="P3Tokenizer", in_channels=7, sample_ratio=0.0625, group_size=32, norm="ln"),
    decoder=dict(type="PointDecoder", global_features=("cls", "max")),
    head=dict(
        type="PointSegHead",
        num_classes=13,
        hidden=(256,),
        norm="ln",
        loss=dict(type="PointCrossEntropy", label_smoothing=0.2),
    ),
)
