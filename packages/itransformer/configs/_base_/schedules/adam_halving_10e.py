# The official recipe: Adam, at most 10 epochs, the rate halved after each epoch from the second on (`lradj=type1`),
# stopped when the validation error has not improved for 3 epochs, tested with the best epoch's weights.
train_cfg = dict(type="ResumableEpochLoop", max_epochs=10, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0),
)
# Epochs 1 and 2 at the first rate, epoch k at 0.5 ** (k - 2) of it. Without an end mmengine takes max_epochs, and then
# refuses to train for one epoch.
param_scheduler = dict(type="ExponentialLR", gamma=0.5, begin=1, end=1000, by_epoch=True)

auto_scale_lr = dict(enable=False, base_batch_size=32)
