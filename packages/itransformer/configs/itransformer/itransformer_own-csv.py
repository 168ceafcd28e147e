# Not a row of the paper: a template for a CSV file of your own, with a header line, a column of dates, and a column of
# numbers per series. The first 70 % of the rows train, the next 10 % choose the best epoch, the last 20 % test. It needs
# no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-itransformer path/to/your_copy.py
#
# and forecast with `ITransformerInferencer("path/to/your_copy.py", "work_dirs/your_copy/best_mse_epoch_N.pth")`.
custom_imports = dict(imports=["mm_itransformer"], allow_failed_imports=False)
default_scope = "mmengine"

# ----------------------------------------------------------------------------------------------------------------------
file = "data/my_series.csv"  # as it is, or below --data-root
seq_len = 96  # steps that the model reads
pred_len = 24  # steps that it forecasts
width = 128  # 128 for a few series, 512 for hundreds
features = "M"  # "M": all columns are forecast; "MS": all are read, the target is forecast; "S": the target alone
target = "OT"  # that column; with "M" it does not matter
date_column = "date"  # name of the column that holds the dates
date_format = None  # how they are written, such as "%d/%m/%Y %H:%M"; None: found out
encoding = "utf-8"  # "latin-1", "utf-16", ... for a file that is not UTF-8
missing_values = []  # numbers that stand for a missing measurement, such as [-9999.0]: the one before takes their place
time_features = True  # hour, weekday, day and day of the year as further tokens; False for series without a calendar
max_epochs = 10
# ----------------------------------------------------------------------------------------------------------------------

model = dict(
    type="ITransformer",
    seq_len=seq_len,
    pred_len=pred_len,
    features=features,
    d_model=width,
    d_ff=width,
    n_heads=8,
    e_layers=2,
)

windows = dict(
    type="CSVForecastDataset",
    file=file,
    seq_len=seq_len,
    pred_len=pred_len,
    features=features,
    target=target,
    date_column=date_column,
    date_format=date_format,
    encoding=encoding,
    missing_values=missing_values,
    time_features=time_features,
    freq="h",
)
in_order = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    collate_fn=dict(type="identity_collate"),
)
shuffled = dict(in_order, drop_last=True, sampler=dict(type="DefaultSampler", shuffle=True))
train_dataloader = dict(shuffled, dataset=dict(windows, split="train"))
val_dataloader = dict(in_order, dataset=dict(windows, split="val"))
test_dataloader = dict(in_order, dataset=dict(windows, split="test"))
val_evaluator = dict(type="ForecastMetric")
test_evaluator = dict(type="ForecastMetric")

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = dict(type="ExponentialLR", gamma=0.5, begin=1, end=1000, by_epoch=True)
auto_scale_lr = dict(enable=False, base_batch_size=32)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=100),
    checkpoint=dict(type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2, save_best="mse", rule="less"),
)
custom_hooks = [
    dict(type="ITransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="itransformer", agree=["time_features", "freq"]),
    dict(type="ResumableEarlyStoppingHook", monitor="mse", rule="less", min_delta=0, patience=3, strict=True),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
randomness = dict(seed=2023)

# For this package's tests alone; leave it out of your copy.
generated = dict(
    _delete_=True, type="Lorenz96Dataset", generate=dict(steps=600), seq_len=96, pred_len=24, time_features=True
)
tiny = {f"{name}_dataloader.dataset": dict(generated, split=name) for name in ("train", "val", "test")}
tiny |= {"model.d_model": 16, "model.d_ff": 32}
del generated
