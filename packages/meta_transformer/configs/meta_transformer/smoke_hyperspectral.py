# Hyperspectral pixels, small: six materials of a generated scene, by an encoder of 192 channels and four blocks that
# is trained here from random weights. Not a row of the paper. Data: generated, pixels of 40 bands, 120 to train on, 804
# to test on. Cost: less than a minute of one CPU core. Expected: an accuracy well above that of always naming the most
# frequent class, 31 %.
#
#   mim train mmrepro-meta-transformer smoke_hyperspectral.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="hyperspectral",
    data="pixels of one scene, generated",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="HyperspectralTokenizer", num_bands=40, in_channels=1, dropout=0.1),
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False),
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=6),
)

pixels = dict(
    type="GeneratedSpectraDataset",
    generate=dict(size=32, bands=40, classes=6, train_per_class=20, seed=0),
    pipeline=[dict(type="PackMetaInputs", keys="bands", meta_keys=("sample_idx", "row", "column"))],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(pixels, split="train"),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(pixels, split="test"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="LandCoverMetric"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=40, val_interval=40)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=3, end=40, T_max=37, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(interval=40))

scene = dict(size=16, bands=12, classes=3, train_per_class=8)
generated = dict(pixels, _delete_=True, generate=scene)
tiny = {
    "model.tokenizer": dict(num_bands=12, dropout=0.0),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2)),
    "model.head": dict(num_classes=3),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "val_dataloader.dataset": dict(generated, split="test"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del pixels, scene, generated
