# AdamW for 600 epochs, the rate rising for 10 and falling to 1e-6 by a cosine (scenes).
train_cfg = dict(type="ResumableEpochLoop", max_epochs=600, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=10, end=600, T_max=590, eta_min=1e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
