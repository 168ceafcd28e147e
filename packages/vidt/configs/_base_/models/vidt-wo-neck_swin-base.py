# ViDT without neck with the body Swin-base.
_base_ = "vidt-wo-neck_swin-nano.py"

model = dict(
    backbone=dict(
        arch="base",
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_base_patch4_window7_224_22k.pth"
        ),
    ),
)
