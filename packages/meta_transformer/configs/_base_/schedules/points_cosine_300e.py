# AdamW for 300 epochs, the rate falling to 1e-6 by a cosine (clouds that are classified).
train_cfg = dict(type="ResumableEpochLoop", max_epochs=300, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=300, T_max=300, eta_min=1e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
