# What makes a detector's backbone, data and training small enough for a test, without a data file
# (mmrepro.testing.tiny); a config says itself what makes its heads small.
drawn = dict(count=8, size=64)
small = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="PackDetInputs"),
]
generated = dict(_delete_=True, type="ShapesCocoDataset", generate=drawn, pipeline=small)
metric = dict(_delete_=True, type="ShapesCocoMetric", generate=drawn, metric=["bbox", "segm"])
tiny = {
    "model.backbone": dict(
        arch=dict(_delete_=True, embed_dim=16, depth=4, num_heads=2),
        drop_path_rate=0.0,
        conv_inplane=4,
        pretrain_size=64,
        norm_cfg=dict(type="BN"),
        init_cfg=None,
    ),
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": dict(generated, test_mode=True),
    "test_dataloader.dataset": dict(generated, test_mode=True),
    "val_evaluator": metric,
    "test_evaluator": metric,
    # fp16 needs an accelerator
    "optim_wrapper.type": "OptimWrapper",
    "optim_wrapper.loss_scale": "_removed_",
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del drawn, small, generated, metric, loader
