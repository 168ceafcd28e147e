# ViDT with the body Swin-small.
_base_ = "vidt_swin-nano.py"

model = dict(
    backbone=dict(
        arch="small",
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_small_patch4_window7_224.pth"
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 256]),
)
