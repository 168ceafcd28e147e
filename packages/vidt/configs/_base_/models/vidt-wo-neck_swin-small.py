# ViDT without neck with the body Swin-small.
_base_ = "vidt-wo-neck_swin-nano.py"

model = dict(
    backbone=dict(
        arch="small",
        init_cfg=dict(
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_small_patch4_window7_224.pth"
        ),
    ),
)
