# COCO 2017 with masks. Training pictures have a short side of 480 to 800, half of them are cut before, and none is
# larger than 1024 x 1024; pictures at 800 x 1333 in the test. Below the data root: coco/train2017, coco/val2017 and
# coco/annotations.
data_root = "{{$MMREPRO_DATA_ROOT:data}}/coco/"
annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
sides = dict(type="RandomChoiceResize", scales=[(side, 1333) for side in range(480, 801, 32)], keep_ratio=True)
before = dict(type="RandomChoiceResize", scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True)
crop = dict(type="RandomCrop", crop_type="absolute_range", allow_negative_crop=True)

train_dataloader = dict(
    batch_size=2,  # on each of 8 GPUs
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type="LoadImageFromFile"),
            annotations,
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomChoice", transforms=[[sides], [before, dict(crop, crop_size=(384, 600)), sides]]),
            dict(crop, crop_size=(1024, 1024)),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1333, 800), keep_ratio=True),
            annotations,
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="CocoMetric", ann_file=data_root + "annotations/instances_val2017.json", metric=["bbox", "segm"]
)
test_evaluator = val_evaluator
del annotations, sides, before, crop
