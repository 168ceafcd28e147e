# COCO 2017 with instance masks: polygons are drawn at the picture's own size, then resized with it.
_base_ = "coco.py"

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation", imdecode_backend="pillow"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="FlipResizeCrop", resize_type="ViDTResize", short_sides=list(range(480, 801, 16)), longest=1333),
            dict(type="PackDetInputs"),
        ]
    )
)
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
