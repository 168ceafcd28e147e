# What makes a segmentor's backbone, data and training small enough for a test, without a data file
# (mmrepro.testing.tiny); a config says itself what makes its heads small.
generated = dict(
    _delete_=True,
    type="GeneratedSegDataset",
    generate=dict(count=8, size=64),
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations"),
        dict(type="RandomCrop", crop_size=(64, 64)),
        dict(type="PackSegInputs"),
    ],
)
whole = dict(
    generated,
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="ResizeToMultiple", size_divisor=32),
        dict(type="LoadAnnotations"),
        dict(type="PackSegInputs"),
    ],
)
views = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(side, side)) for side in (64, 96)],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
tiny = {
    "model.backbone": dict(
        arch=dict(_delete_=True, embed_dim=32, depth=4, num_heads=2),
        drop_path_rate=0.0,
        conv_inplane=8,
        deform_num_heads=2,
        deform_ratio=1.0,
        mrfp_ratio=0.5,
        norm_cfg=dict(type="BN"),
        init_cfg=None,
    ),
    "model.data_preprocessor.size": (64, 64),
    "model.test_cfg.crop_size": (64, 64),
    "model.test_cfg.stride": (43, 43),
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "tta_pipeline": views,
    # fp16 needs an accelerator
    "optim_wrapper.type": "OptimWrapper",
    "optim_wrapper.loss_scale": "_removed_",
    "optim_wrapper.paramwise_cfg.num_layers": 4,
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del generated, whole, views, loader
