# Ten epochs at 5e-4: the official code makes a scheduler and never steps it.
train_cfg = dict(type="ResumableEpochLoop", max_epochs=10, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-4))
auto_scale_lr = dict(enable=False, base_batch_size=64)
