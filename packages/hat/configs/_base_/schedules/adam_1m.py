# The first stage for real pictures: a million steps at 1e-4. The milestone is the last step, so it never acts.
train_cfg = dict(type="ResumableIterLoop", max_iters=1_000_000)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=1e-4, betas=(0.9, 0.99), eps=1e-8, weight_decay=0),
)
param_scheduler = dict(
    type="MultiStepLR",
    by_epoch=False,
    milestones=[1_000_000],
    gamma=0.5,
)

auto_scale_lr = dict(enable=False, base_batch_size=32)  # 8 GPUs x 4
