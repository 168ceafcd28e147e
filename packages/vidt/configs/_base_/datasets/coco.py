# COCO 2017 as the official code reads it: the category id is the label, crowds and boxes without extent are left out,
# pictures without objects stay; boxes alone. Below the data root: coco/train2017, coco/val2017 and coco/annotations.
# Two pictures are tested together, paired as on the official 8 GPUs, for padding changes results a little.
data_root = "{{$MMREPRO_DATA_ROOT:data}}/coco/"
load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation", imdecode_backend="pillow")

train_dataloader = dict(
    batch_size=2,  # on each of 8 GPUs
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="DetrCocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            load,
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="FlipResizeCrop", resize_type="ViDTResize", short_sides=list(range(480, 801, 16)), longest=1333),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    batch_sampler=dict(type="PublishedBatches", gpus=8),
    dataset=dict(
        type="DetrCocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[load, dict(type="ViDTResize", scale=(1333, 800)), dict(type="PackDetInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="DetrCocoMetric", ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator
del load
