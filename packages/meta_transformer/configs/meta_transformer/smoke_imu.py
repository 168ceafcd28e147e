# Inertial sensors, small: six activities of generated persons, by an encoder of 192 channels and four blocks that is
# trained here from random weights. Not a row of the paper. Data: generated, 144 windows of six axes to train on, as
# many of other persons to test on. Cost: a minute of one CPU core. Expected: an accuracy well above that of always
# naming one activity, 16.7 %.
#
#   mim train mmrepro-meta-transformer smoke_imu.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="imu",
    data="windows of walking and resting, generated",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="SeriesTokenizer", n_variates=6, length=128, dropout=0.1),
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False),
    pooling="mean",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=6),
)

windows = dict(
    type="GeneratedGaitDataset",
    generate=dict(train=144, test=144, seed=0),
    pipeline=[dict(type="PackMetaInputs", keys="series", meta_keys=("sample_idx", "person"))],
)
train_dataloader = dict(
    batch_size=24,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(windows, split="train"),
)
val_dataloader = dict(
    batch_size=48,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(windows, split="test"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=6, val_interval=6)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=6, T_max=6, convert_to_iter_based=True)]
auto_scale_lr = dict(enable=False, base_batch_size=24)
default_hooks = dict(logger=dict(interval=3), checkpoint=dict(interval=6))

generated = dict(windows, _delete_=True, generate=dict(train=24, test=12))
tiny = {
    "model.tokenizer": dict(dropout=0.0),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2)),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "val_dataloader.dataset": dict(generated, split="test"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del windows, generated
