# Three epochs at 1e-4 with a cosine to 0 after 100 steps of warming up: this package's recipe for sentences.
train_cfg = dict(type="ResumableEpochLoop", max_epochs=3, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=3, T_max=3, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
