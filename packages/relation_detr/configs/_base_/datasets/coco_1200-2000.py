# COCO 2017 at 1200 x 2000 pixels. The augmentation is `detr` with all lengths times 1.5: officially it is most likely
# one with albumentations as well, which no published file names.
_base_ = "coco.py"

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(
                type="DETRAugmentation",
                short_sides=tuple(range(720, 1201, 48)),
                longest=2000,
                first_short_sides=(600, 750, 900),
                crop=(576, 900),
            ),
            dict(type="PackDetInputs"),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
            dict(type="TorchResize", scale=(2000, 1200), single_precision=True),
            dict(type="PackDetInputs"),
        ]
    )
)
test_dataloader = val_dataloader
