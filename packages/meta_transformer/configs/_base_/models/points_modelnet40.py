# Point clouds of ModelNet40: tokens of where points lie, a frozen encoder, three summaries and a small head.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerPointCls",
    tokenizer=dict(type="PointPatchTokenizer", sample_ratio=0.25, group_size=32, channels=(128, 256, 512)),
    global_features=("cls", "max", "avg"),
    head=dict(type="PointClsHead", num_classes=40, loss=dict(type="SmoothCrossEntropy", smoothing=0.2)),
)
