# A small ViDT on real pictures: BCCD, 364 pictures of blood cells with boxes in Pascal VOC's format (the data set
# bccd of `mmrepro data list`), from random weights. Not a row of the paper. Cost: five minutes of one CPU core.
# Expected: far above boxes at common places, guessed without looking.
#
#   mmrepro quickstart vidt --config vidt_swin-c24_1xb4_bccd
_base_ = ["../_base_/models/vidt_swin-nano.py", "../_base_/default_runtime.py"]

data_root = "{{$MMREPRO_DATA_ROOT:data}}/bccd/BCCD/"
classes = ("RBC", "WBC", "Platelets")
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=24, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0),
        num_det_tokens=60,
        det_pos_dims=64,
        init_cfg=None,
    ),
    neck=dict(in_channels=[48, 96, 192, 64], out_channels=64),
    decoder=dict(num_layers=2, embed_dims=64, num_heads=8, feedforward_channels=128, dropout=0.0),
    bbox_head=dict(num_classes=len(classes), labels="contiguous", test_cfg=dict(max_per_img=60)),
)

load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")
annotations = dict(type="LoadAnnotations", with_bbox=True)
resize, pack = dict(type="ViDTResize", scale=(256, 192)), dict(type="PackDetInputs")
pictures = dict(type="DetrVocDataset", data_root=data_root, metainfo=dict(classes=classes))
train_list, val_list, test_list = (f"ImageSets/Main/{name}.txt" for name in ("train", "val", "test"))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        pictures, ann_file=train_list, pipeline=[load, annotations, dict(type="RandomFlip", prob=0.5), resize, pack]
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(pictures, ann_file=val_list, test_mode=True, pipeline=[load, resize, pack]),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(pictures, ann_file=test_list, test_mode=True, pipeline=[load, resize, pack])
)
val_evaluator = dict(type="DetrVocMetric", data_root=data_root, ann_file=val_list)
test_evaluator = [
    dict(type="DetrVocMetric", data_root=data_root, ann_file=test_list),
    dict(type="CommonPlacesVocMetric", data_root=data_root, ann_file=test_list, train=dict(ann_file=train_list)),
]
del load, annotations, resize, pack, pictures, train_list, val_list, test_list

# steps rather than epochs: the time is the same for a part of the data set
train_cfg = dict(type="ResumableIterLoop", max_iters=720, val_interval=120)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="ViDTParamGroups",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=50, end=720, T_max=670, eta_min=1e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=120), logger=dict(interval=20, log_metric_by_epoch=False))
log_processor = dict(by_epoch=False)

# For tests: generated pictures, whose category ids go up to 7.
tiny = {
    "train_cfg.max_epochs": "_removed_",
    "train_cfg.max_iters": 2,
    "model.backbone.num_det_tokens": 12,
    "model.neck.in_channels": [32, 64, 128, 64],
    "model.bbox_head.num_classes": 8,
}
