# 300 epochs from 5e-4, times 0.9 every 30 epochs. The official scheduler steps before an epoch, so the first step is
# at 29.
max_epochs = 300
train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-4))
param_scheduler = [
    dict(type="MultiStepLR", by_epoch=True, milestones=list(range(29, max_epochs, max_epochs // 10)), gamma=0.9)
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
