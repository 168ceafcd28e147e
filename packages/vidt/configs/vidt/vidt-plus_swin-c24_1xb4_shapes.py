# The quickstart: a small ViDT+ (a Swin of 24 channels, 64 channels after it, 30 [DET] tokens, two decoder layers),
# trained on generated pictures of discs, squares and triangles, with boxes and masks. Not a row of the paper. Cost: six
# minutes of one CPU core. Expected: far above boxes at common places, guessed without looking, in boxes and in masks.
#
#   mmrepro quickstart vidt
_base_ = ["../_base_/models/vidt-plus_swin-nano.py", "../_base_/default_runtime.py"]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=24, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0),
        num_det_tokens=30,
        det_pos_dims=64,
        init_cfg=None,
    ),
    neck=dict(in_channels=[48, 96, 192, 64], out_channels=64),
    decoder=dict(num_layers=2, embed_dims=64, num_heads=8, feedforward_channels=128, dropout=0.0),
    bbox_head=dict(num_classes=8, n_keep=256, gt_mask_len=128, test_cfg=dict(max_per_img=30)),
)

train_pictures = dict(count=240, size=128, seed=0)
val_pictures = dict(count=24, size=128, seed=100_000)
test_pictures = dict(count=48, size=128, seed=200_000)
load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")
shown = [load, dict(type="ViDTResize", scale=(128, 128)), dict(type="PackDetInputs")]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="GeneratedCocoDataset",
        generate=train_pictures,
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            load,
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="ViDTResize", scale=(128, 128)),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(type="GeneratedCocoDataset", generate=val_pictures, test_mode=True, pipeline=shown),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(type="GeneratedCocoDataset", generate=test_pictures, test_mode=True, pipeline=shown),
)
val_evaluator = dict(type="GeneratedCocoMetric", generate=val_pictures, metric=["bbox", "segm"])
test_evaluator = [
    dict(type="GeneratedCocoMetric", generate=test_pictures, metric=["bbox", "segm"]),
    dict(type="CommonPlacesMetric", generate=test_pictures, train=train_pictures, metric=["bbox", "segm"]),
]
del load, shown, train_pictures, val_pictures, test_pictures

train_cfg = dict(type="ResumableEpochLoop", max_epochs=24, val_interval=4)
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
    dict(type="CosineAnnealingLR", by_epoch=True, begin=1, end=24, T_max=24, eta_min=1e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=4), logger=dict(interval=20))

# For tests: other body and decoder than the rows' small ones, which have 256 channels.
tiny = {
    "model.backbone.num_det_tokens": 12,
    "model.neck.in_channels": [32, 64, 128, 64],
    "model.decoder": dict(num_layers=2, feedforward_channels=64, dropout=0.0),
}
