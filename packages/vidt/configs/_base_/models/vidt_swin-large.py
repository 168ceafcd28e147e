# ViDT with the body Swin-large.
_base_ = "vidt_swin-nano.py"

model = dict(
    backbone=dict(
        arch="large",
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_large_patch4_window7_224_22k.pth"
        ),
    ),
    neck=dict(in_channels=[384, 768, 1536, 256]),
)
