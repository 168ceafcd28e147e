# The official recipe of the time series: Adam, at most 10 epochs, the rate halved after each epoch from the second on,
# stopped when the validation error has not improved for 3 epochs, tested with the best epoch's weights.
_base_ = "../default_runtime.py"

train_cfg = dict(type="ResumableEpochLoop", max_epochs=10, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
# Epochs 1 and 2 at the first rate, epoch k at 0.5 ** (k - 2) of it. Without an end mmengine takes max_epochs, and then
# refuses to train for one epoch.
param_scheduler = dict(type="ExponentialLR", gamma=0.5, begin=1, end=1000, by_epoch=True)
auto_scale_lr = dict(enable=False, base_batch_size=32)

default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(save_best="mse", rule="less"),
)
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    # No shape shows which time features a layer was trained on: those of the checkpoint and of the data must be equal.
    dict(type="StrictLoadHook", paper="meta_transformer", agree=["time_features", "freq"]),
    dict(type="ResumableEarlyStoppingHook", monitor="mse", rule="less", min_delta=0, patience=3, strict=True),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
randomness = dict(seed=2021)
