# Point clouds of ScanObjectNN: tokens of places in one stage, a frozen encoder, two summaries and a small head.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerPointCls",
    tokenizer=dict(type="P3Tokenizer", in_channels=3, sample_ratio=0.25, group_size=32),
    global_features=("max", "cls"),
    head=dict(type="PointClsHead", num_classes=15),
)
