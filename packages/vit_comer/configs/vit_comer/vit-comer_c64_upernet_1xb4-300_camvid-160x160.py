# CamVid: a small ViT-CoMer (4 blocks, 64 channels) with UPerNet on real road scenes, 11 classes, from random weights.
# Not a row of the paper: it shows in minutes that training on real pictures works. Cost: minutes on one CPU
# core. Expected: the loss falls and mIoU rises above that of the most common class at each place. Below the data root:
# camvid/train, camvid/trainannot, camvid/val, camvid/valannot.
#
#   mmrepro quickstart vit_comer --config vit-comer_c64_upernet_1xb4-300_camvid-160x160
_base_ = ["../_base_/models/upernet_vit-comer-c64.py", "../_base_/runtime_mmseg.py", "../_base_/schedules/adamw_c64.py"]

crop_size = (160, 160)
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
load = dict(type="LoadImageFromFile")
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="CamVidDataset",
        split="train",
        pipeline=[
            load,
            dict(type="LoadAnnotations"),
            dict(type="RandomResize", scale=(480, 360), ratio_range=(0.5, 1.0), keep_ratio=True),
            dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSegInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CamVidDataset",
        split="val",
        test_mode=True,
        pipeline=[
            load,
            dict(type="Resize", scale=(320, 240), keep_ratio=True),  # labels keep their size
            dict(type="LoadAnnotations"),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = [val_evaluator, dict(type="CommonClassMetric", train=dict(type="CamVidDataset", split="train"))]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(int(320 * ratio), int(240 * ratio)), keep_ratio=True)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
del load, crop_size

train_cfg = dict(type="ResumableIterLoop", max_iters=300, val_interval=50)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=31),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=0, end=301),
]
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
env_cfg = dict(cudnn_benchmark=False)

# What makes it small enough for a test, without a data file (mmrepro.testing.tiny).
pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
generated = dict(_delete_=True, type="GeneratedSegDataset", generate=dict(count=8, size=64), pipeline=pipeline)
tiny = {
    "model.data_preprocessor.size": (64, 64),
    "model.decode_head.num_classes": 4,
    "model.auxiliary_head.num_classes": 4,
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": dict(generated, test_mode=True),
    "test_dataloader.dataset": dict(generated, test_mode=True),
    "test_evaluator": [val_evaluator],
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 2,
}
del pipeline, generated
