# 200 epochs from 2e-4; after the fifth, every epoch's rate is 0.85 of the one before. The authors train in fp16: `--amp`.
max_epochs = 200
train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=2e-4, betas=(0.95, 0.999), weight_decay=5e-7))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=list(range(5, max_epochs)), gamma=0.85)]
auto_scale_lr = dict(enable=False, base_batch_size=128)
