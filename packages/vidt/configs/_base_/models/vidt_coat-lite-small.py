# ViDT with the body CoaT-Lite small.
_base_ = "vidt_coat-lite-tiny.py"

model = dict(
    backbone=dict(
        arch="small",
        init_cfg=dict(
            checkpoint="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-coat-weights/coat_lite_small-fea1d5a1.pth"
        ),
    ),
    neck=dict(in_channels=[128, 320, 512, 256]),
)
