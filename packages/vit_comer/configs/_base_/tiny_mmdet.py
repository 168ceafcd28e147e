# What makes data and training of a detector small enough for a test, without a data file (mmrepro.testing.tiny); a
# config says itself what makes its model small.
drawn = dict(count=8, size=64)
small = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="PackDetInputs"),
]
generated = dict(_delete_=True, type="CoMerGeneratedCocoDataset", generate=drawn, pipeline=small)
metric = dict(_delete_=True, type="CoMerGeneratedCocoMetric", generate=drawn, metric=["bbox", "segm"])
tiny = {
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": dict(generated, test_mode=True),
    "test_dataloader.dataset": dict(generated, test_mode=True),
    "val_evaluator": metric,
    "test_evaluator": metric,
    "optim_wrapper": dict(
        _delete_=True,
        type="OptimWrapper",  # fp16 needs an accelerator
        constructor="CoMerLayerDecayConstructor",
        paramwise_cfg=dict(num_layers=4, layer_decay_rate=0.7),
        optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    ),
    "train_cfg.max_epochs": 2,
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del drawn, small, generated, metric, loader
