# The second stage: generator and discriminator each with Adam at 1e-4. The milestone is the last step, it never acts.
train_cfg = dict(type="ResumableIterLoop", max_iters=400_000)

adam = dict(type="Adam", lr=1e-4, betas=(0.9, 0.99), eps=1e-8, weight_decay=0)
optim_wrapper = dict(
    constructor="MultiOptimWrapperConstructor",
    generator=dict(type="OptimWrapper", optimizer=adam),
    discriminator=dict(type="OptimWrapper", optimizer=adam),
)
del adam
param_scheduler = dict(type="MultiStepLR", by_epoch=False, milestones=[400_000], gamma=0.5)

auto_scale_lr = dict(enable=False, base_batch_size=32)  # 8 GPUs x 4
