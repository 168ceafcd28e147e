# ViDT without neck with the body Swin-tiny.
_base_ = "vidt-wo-neck_swin-nano.py"

model = dict(
    backbone=dict(
        arch="tiny",
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth"
        ),
    ),
)
