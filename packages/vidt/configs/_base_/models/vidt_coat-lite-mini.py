# ViDT with the body CoaT-Lite mini.
_base_ = "vidt_coat-lite-tiny.py"

model = dict(
    backbone=dict(
        arch="mini",
        init_cfg=dict(
            checkpoint="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-coat-weights/coat_lite_mini-d7842000.pth"
        ),
    ),
    neck=dict(in_channels=[128, 320, 512, 256]),
)
