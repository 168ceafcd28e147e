# ViDT with the body Swin-tiny.
_base_ = "vidt_swin-nano.py"

model = dict(
    backbone=dict(
        arch="tiny",
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth"
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 256]),
)
