# COCO 2017 as the official code reads it: the category id is the label, crowds and boxes without extent are left out,
# augmentation `detr`; pictures at 800 x 1333 in the test. Below the data root: coco/train2017, coco/val2017 and
# coco/annotations.
data_root = "{{$MMREPRO_DATA_ROOT:data}}/coco/"
load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")

train_dataloader = dict(
    batch_size=5,  # on each of 2 GPUs
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioGroupBatchSampler"),
    dataset=dict(
        type="RelationCocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        pipeline=[
            load,
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="DETRAugmentation"),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,  # padding to a common size would change results
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type="RelationCocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[
            load,
            dict(type="TorchResize", scale=(1333, 800), single_precision=True),
            dict(type="PackDetInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="RelationCocoMetric", ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
del load
