# Up to 200 epochs at 1e-3, a tenth after 10 epochs in which the validation loss has not fallen by 1e-3; the end after
# 30 epochs without a lower one. The best epoch's weights are tested.
_base_ = "../default_runtime.py"

train_cfg = dict(type="ResumableEpochLoop", max_epochs=200, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
param_scheduler = [
    dict(
        type="ReduceOnPlateauLR",
        monitor="log_loss",
        rule="less",
        factor=0.1,
        patience=10,
        threshold=1e-3,
        threshold_rule="abs",
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
default_hooks = dict(checkpoint=dict(save_best="log_loss", rule="less"))
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer", agree=["table"]),
    dict(type="ResumableEarlyStoppingHook", monitor="log_loss", rule="less", patience=30),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
