# Time series, small: the next 24 hours of ETTh1 from the last 48, by an encoder of 192 channels and four blocks that is
# trained here from random weights. Not a row of the paper. Data: ETTh1, real; 2,560 windows are trained on, all of the
# test split are tested. Cost: a minute of one CPU core. Expected: a mean squared error well below that of repeating the
# last value.
#
#   mim train mmrepro-meta-transformer smoke_time-series.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="time-series",
    data="ETTh1, real",
    network="random, trained here",
    metric="mse",
    better="lower",
    baseline="the last value",
)

model = dict(
    type="MetaTransformerForecaster",
    seq_len=48,
    pred_len=24,
    label_len=24,
    enc_in=7,
    n_heads=4,
    d_layers=1,
    d_ff=384,
    dropout=0.1,
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False),
)

series = dict(type="ETTDataset", data="etth1", seq_len=48, pred_len=24, future_marks=True)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    collate_fn=dict(type="identity_collate"),
    dataset=dict(series, split="train"),
)
test_dataloader = dict(
    batch_size=128,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    collate_fn=dict(type="identity_collate"),
    dataset=dict(series, split="test"),
)
test_evaluator = dict(type="ForecastMetric")

train_cfg = dict(type="ResumableIterLoop", max_iters=80)
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=80, T_max=80)]
auto_scale_lr = dict(enable=False, base_batch_size=32)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(by_epoch=False, interval=80))
log_processor = dict(by_epoch=False)

generated = dict(
    type="Lorenz96Dataset",
    generate=dict(steps=400, variates=5),
    seq_len=24,
    pred_len=8,
    time_features=True,
    future_marks=True,
    _delete_=True,
)
tiny = {
    "model": dict(seq_len=24, pred_len=8, label_len=12, enc_in=5, n_heads=2, d_ff=32),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2)),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_iters=2),
}
del series, generated
