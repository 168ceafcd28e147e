# What makes data and training of a segmentor small enough for a test, without a data file (mmrepro.testing.tiny); a
# config says itself what makes its network small.
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
tiny = {
    "model.data_preprocessor.size": (64, 64),
    "model.test_cfg.crop_size": (64, 64),
    "model.test_cfg.stride": (43, 43),
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "optim_wrapper": dict(
        _delete_=True,
        type="OptimWrapper",  # fp16 needs an accelerator
        constructor="CoMerLayerDecayConstructor",
        paramwise_cfg=dict(num_layers=4, layer_decay_rate=0.95),
        optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    ),
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del generated, whole, loader
