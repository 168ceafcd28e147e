# 50 epochs with 16 pictures per step. The learning rate is a cosine of the number of finished epochs less one, as the
# official scheduler is stepped after an epoch with that epoch's number: the first two run at the full rate.
max_epochs = 50
train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="ViDTParamGroups",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=1, end=max_epochs, T_max=max_epochs, eta_min=1e-7)
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
