# AdamW for 300 epochs, a tenth of the rate from 210 and from 270 on (parts of objects).
train_cfg = dict(type="ResumableEpochLoop", max_epochs=300, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type="MultiStepLR", by_epoch=True, milestones=[210, 270], gamma=0.1)
auto_scale_lr = dict(enable=False, base_batch_size=32)
