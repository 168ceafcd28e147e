# From scratch on DF2K: 500,000 steps of Adam at 2e-4, halved four times; validation every 5,000.
train_cfg = dict(type="ResumableIterLoop", max_iters=500_000, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=2e-4, betas=(0.9, 0.99), eps=1e-8, weight_decay=0),
)
param_scheduler = dict(
    type="MultiStepLR",
    by_epoch=False,
    milestones=[250_000, 400_000, 450_000, 475_000],
    gamma=0.5,
)

auto_scale_lr = dict(enable=False, base_batch_size=32)  # 8 GPUs x 4
