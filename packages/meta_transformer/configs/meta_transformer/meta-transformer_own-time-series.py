# Not a row of the paper: a template for series of your own to forecast, a CSV file with a line of names, a column of
# dates, and a column of numbers for each series. The first 70 % of the rows train, the next 10 % choose the best epoch,
# the last 20 % test. It needs no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-meta-transformer path/to/your_copy.py
custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

# ----------------------------------------------------------------------------------------------------------------------
file = "data/my_series.csv"  # as it is, or below --data-root
series = 7  # how many columns of numbers it has
seq_len, pred_len = 96, 24  # steps that the model reads, and that it forecasts
date_column = "date"  # name of the column that holds the dates
date_format = None  # how they are written, such as "%d/%m/%Y %H:%M"; None: found out
missing_values = []  # numbers that stand for a missing measurement, such as [-9999.0]: the one before takes their place
encoder_file = None  # the released encoder, such as "data/checkpoints/Meta-Transformer_base_patch16_encoder.pth"
tuned = False  # whether that encoder is trained too; without a file a small one is trained from random weights
batch_size = 32
max_epochs = 10
lr = 5e-4
# ----------------------------------------------------------------------------------------------------------------------

encoder = dict(type="MetaTransformerEncoder", with_cp=False)
if encoder_file:
    encoder.update(arch="base", frozen=not tuned, init_cfg=dict(type="PretrainedMetaEncoder", checkpoint=encoder_file))
else:
    encoder.update(arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False)
model = dict(
    type="MetaTransformerForecaster",
    seq_len=seq_len,
    pred_len=pred_len,
    label_len=seq_len // 2,
    enc_in=series,
    n_heads=8,
    d_layers=1,
    d_ff=512,
    dropout=0.1,
    encoder=encoder,
)

windows = dict(
    type="CSVForecastDataset",
    file=file,
    seq_len=seq_len,
    pred_len=pred_len,
    date_column=date_column,
    date_format=date_format,
    missing_values=missing_values,
    future_marks=True,
)
in_order = dict(
    batch_size=batch_size,
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
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=lr, weight_decay=0.05), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, convert_to_iter_based=True
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2, save_best="mse", rule="less"),
)
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer", agree=["time_features", "freq"]),
    dict(type="LoadBestHook"),  # the test at the end of a training is of the best epoch
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
randomness = dict(seed=0)

# For this package's tests alone; leave it out of your copy.
generated = dict(
    _delete_=True,
    type="Lorenz96Dataset",
    generate=dict(steps=400, variates=5),
    seq_len=24,
    pred_len=8,
    time_features=True,
    future_marks=True,
)
tiny = {
    "model": dict(seq_len=24, pred_len=8, label_len=12, enc_in=5, n_heads=2, d_ff=32),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "val_dataloader.dataset": dict(generated, split="val"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg.max_epochs": 1,
}
del encoder, windows, in_order, shuffled, generated
