# Not a row of the paper: fine-tuning ViDT with Swin-nano, without the parts of ViDT+, on boxes of your own in COCO's
# format. Copy it together with vidt-plus_own-coco.py, which it changes; change what stands between the lines there and
# here, then
#
#   mim train mmrepro-vidt path/to/your_copy.py
_base_ = "vidt-plus_own-coco.py"

# ----------------------------------------------------------------------------------------------------------------------
# masks and start of vidt-plus_own-coco.py have no effect here.
start = None  # weights to start from, such as "vidt_nano_50.pth"
# ----------------------------------------------------------------------------------------------------------------------

model = dict(
    backbone=dict(num_det_tokens=100),
    neck=dict(
        _delete_=True,
        type="ChannelMapper",
        in_channels=[96, 192, 384, 256],
        kernel_size=1,
        out_channels=256,
        norm_cfg=dict(type="GN", num_groups=32),
        act_cfg=None,
        bias=True,
        num_outs=4,
    ),
    bbox_head=dict(with_vector=False, iou_aware=False, token_label=False),
)
if start:
    model["backbone"]["init_cfg"] = None  # the weights have one
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation", imdecode_backend="pillow"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="FlipResizeCrop", resize_type="ViDTResize", short_sides=list(range(480, 801, 16)), longest=1333),
            dict(type="PackDetInputs"),
        ]
    )
)
val_evaluator = dict(metric="bbox")
test_evaluator = dict(metric="bbox")
load_from = start

# For this package's tests alone; leave it out of your copy.
tiny = {
    "train_dataloader.dataset": dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="ViDTResize", scale=64),
            dict(type="PackDetInputs"),
        ]
    ),
    "val_evaluator": dict(metric="bbox"),
    "test_evaluator": dict(metric="bbox"),
}
