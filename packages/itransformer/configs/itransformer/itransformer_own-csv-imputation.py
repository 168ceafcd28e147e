# Not a row of the paper: a template for filling gaps in series of your own, learnt from a CSV file without gaps, with a
# header line, a column of dates, and a column of numbers per series. Training hides values at random; the first 70 % of
# the rows train, the next 10 % choose the best epoch, the last 20 % test, beside straight lines between the values left.
# It needs no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-itransformer path/to/your_copy.py
custom_imports = dict(imports=["mm_itransformer"], allow_failed_imports=False)
default_scope = "mmengine"

# ----------------------------------------------------------------------------------------------------------------------
file = "data/my_series.csv"  # as it is, or below --data-root
seq_len = 96  # steps that the model reads
mask_rate = 0.25  # share of the values that are hidden
width = 128  # 128 for a few series, 512 for hundreds
date_column = "date"  # name of the column that holds the dates
date_format = None  # how they are written, such as "%d/%m/%Y %H:%M"; None: found out
encoding = "utf-8"  # "latin-1", "utf-16", ... for a file that is not UTF-8
time_features = True  # hour, weekday, day and day of the year as further tokens; False for series without a calendar
max_epochs = 10
# ----------------------------------------------------------------------------------------------------------------------

model = dict(type="ITransformerImputer", seq_len=seq_len, d_model=width, d_ff=width, n_heads=8, e_layers=2)

windows = dict(
    type="CSVForecastDataset",
    file=file,
    seq_len=seq_len,
    pred_len=1,  # not read
    date_column=date_column,
    date_format=date_format,
    encoding=encoding,
    time_features=time_features,
    freq="h",
)
with_gaps = dict(type="ImputationWindows", mask_rate=mask_rate)
in_order = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    collate_fn=dict(type="identity_collate"),
)
shuffled = dict(in_order, drop_last=True, sampler=dict(type="DefaultSampler", shuffle=True))
train_dataloader = dict(shuffled, dataset=dict(with_gaps, dataset=dict(windows, split="train")))
val_dataloader = dict(in_order, dataset=dict(with_gaps, dataset=dict(windows, split="val")))
test_dataloader = dict(in_order, dataset=dict(with_gaps, dataset=dict(windows, split="test")))
val_evaluator = dict(type="ImputationMetric")
test_evaluator = dict(type="ImputationMetric")

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
param_scheduler = dict(type="ExponentialLR", gamma=0.5, begin=1, end=1000, by_epoch=True)
auto_scale_lr = dict(enable=False, base_batch_size=16)

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
    _delete_=True, type="Lorenz96Dataset", generate=dict(steps=600), seq_len=96, pred_len=1, time_features=True
)
tiny = {f"{name}_dataloader.dataset.dataset": dict(generated, split=name) for name in ("train", "val", "test")}
tiny |= {"model.d_model": 16, "model.d_ff": 32, "train_cfg.max_epochs": 1}
del generated
