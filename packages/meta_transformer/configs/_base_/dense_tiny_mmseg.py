# What makes a segmentor small enough for a test, without a data file (mmrepro.testing.tiny).
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
heads = dict(channels=16, num_classes=4, dropout_ratio=0.0, norm_cfg=dict(type="BN"))
tiny = {
    "model.data_preprocessor.size": (64, 64),
    "model.backbone": dict(
        arch=dict(_delete_=True, embed_dim=16, depth=4, num_heads=2),
        drop_path_rate=0.0,
        conv_inplane=4,
        pretrain_size=64,
        norm_cfg=dict(type="BN"),
        init_cfg=None,
    ),
    "model.decode_head": dict(heads, in_channels=[16, 16, 16, 16]),
    "model.auxiliary_head": dict(heads, in_channels=16),
    "model.test_cfg": dict(crop_size=(64, 64), stride=(43, 43)),
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
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
del generated, whole, heads, loader
