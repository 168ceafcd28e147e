# Not a row of the paper: Relation-DETR on COCO in mmdet's usual way, with its reader, its resizing, boxes clipped to the
# picture, labels from 0 to 79 and its metric, for numbers beside those of mmdet's own detectors. Weights need 80 class
# scores: `mmrepro convert relation_detr FILE.pth model80.safetensors --option contiguous=true`.
# Expected: close to 51.7 AP on val2017 with the official weights; nobody has measured it. Augmentation and schedule are
# the official ones.
#
#   mim train mmrepro-relation-detr relation-detr_r50-4scale_coco-mmdet.py --launcher pytorch --gpus 2
_base_ = "relation-detr_r50-4scale_2xb5-12e_coco.py"

data_root = "{{$MMREPRO_DATA_ROOT:data}}/coco/"
val = dict(ann_file="annotations/instances_val2017.json", data_prefix=dict(img="val2017/"))
pictures = dict(_delete_=True, type="CocoDataset", data_root=data_root)
whole = dict(
    pictures,
    **val,
    test_mode=True,
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(1333, 800), keep_ratio=True),
        dict(type="PackDetInputs"),
    ],
)

model = dict(bbox_head=dict(num_classes=80), test_cfg=dict(clip=True))
train_dataloader = dict(
    dataset=dict(
        pictures,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="DETRAugmentation"),
            dict(type="PackDetInputs"),
        ],
    )
)
val_dataloader = dict(dataset=whole)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type="CocoMetric", metric="bbox", ann_file=data_root + val["ann_file"])
test_evaluator = val_evaluator
del pictures, val, whole
