# ViDT with the body CoaT-Lite tiny, which the official code has.
_base_ = "vidt_swin-nano.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ViDTCoaT",
        arch="tiny",
        num_det_tokens=100,
        init_cfg=dict(
            type="PretrainedCoaTBody",
            checkpoint="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-coat-weights/coat_lite_tiny-461b07a7.pth",
        ),
    ),
    neck=dict(in_channels=[128, 256, 320, 256]),
)

# For tests: as with Swin, but a small body of this kind.
tiny = {
    **_base_.tiny,
    "_delete_": True,
    "model.backbone.arch": dict(
        _delete_=True, embed_dims=(16, 32, 64, 128), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2)
    ),
}
