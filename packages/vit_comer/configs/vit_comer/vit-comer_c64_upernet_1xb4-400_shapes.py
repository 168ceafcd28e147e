# The quickstart: a small ViT-CoMer (4 blocks, 64 channels) with UPerNet on generated pictures of discs, squares
# and triangles, from random weights. Not a row of the paper. Cost: minutes on two CPU cores. Expected: mIoU far
# above that of the most common class at each place.
#
#   mmrepro quickstart vit_comer
_base_ = ["../_base_/models/upernet_vit-comer-c64.py", "../_base_/runtime_mmseg.py", "../_base_/schedules/adamw_c64.py"]

train_pictures = dict(count=240, size=128, seed=0)
val_pictures = dict(count=24, size=128, seed=100_000)
test_pictures = dict(count=48, size=128, seed=200_000)
load = dict(type="LoadImageFromFile")
shown = [load, dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="GeneratedSegDataset",
        generate=train_pictures,
        pipeline=[
            load,
            dict(type="LoadAnnotations"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomFlip", prob=0.5, direction="vertical"),
            dict(type="PackSegInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="GeneratedSegDataset", generate=val_pictures, test_mode=True, pipeline=shown),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(type="GeneratedSegDataset", generate=test_pictures, test_mode=True, pipeline=shown),
)
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = [
    val_evaluator,
    dict(type="CommonClassMetric", train=dict(type="GeneratedSegDataset", generate=train_pictures)),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(int(128 * ratio), int(128 * ratio)), keep_ratio=True)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
del load, shown, train_pictures, val_pictures, test_pictures

train_cfg = dict(type="ResumableIterLoop", max_iters=400, val_interval=100)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=51),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=0, end=401),
]
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
env_cfg = dict(cudnn_benchmark=False)

tiny = {
    "train_dataloader.dataset.generate": dict(count=8, size=64),
    "val_dataloader.dataset.generate": dict(count=4, size=64, seed=100),
    "test_dataloader.dataset.generate": dict(count=4, size=64, seed=200),
    "model.data_preprocessor.size": (64, 64),
    "train_dataloader.batch_size": 4,
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 2,
}
