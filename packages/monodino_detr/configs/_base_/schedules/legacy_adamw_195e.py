# 195 epochs at 2e-4, a tenth of it from epoch 125 and a hundredth from 165; nothing is clipped or warmed up. The
# authors' text leaves open whether 8 pictures are those of one GPU or of all four: 8 on each of 4 is taken here.
max_epochs = 195
train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="MonoDINOParamGroups",
    optimizer=dict(type="LegacyAdamW", lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, begin=0, end=max_epochs, milestones=[125, 165], gamma=0.1)]
auto_scale_lr = dict(enable=False, base_batch_size=32)
