# x4 on DF2K from the x2 weights: half the steps and half the rate of training from scratch.
train_cfg = dict(type="ResumableIterLoop", max_iters=250_000, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=1e-4, betas=(0.9, 0.99), eps=1e-8, weight_decay=0),
)
param_scheduler = dict(
    type="MultiStepLR",
    by_epoch=False,
    milestones=[125_000, 200_000, 225_000, 240_000],
    gamma=0.5,
)

auto_scale_lr = dict(enable=False, base_batch_size=32)  # 8 GPUs x 4
