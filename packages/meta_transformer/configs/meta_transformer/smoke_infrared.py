# Infrared pictures, small: drawn warm bodies of four kinds, by an encoder of 192 channels and four blocks that is
# trained here from random weights. Not a row of the paper.
# Data: generated, thermal pictures of one channel, 256 to train on, 128 to test on.
# Cost: less than a minute of one CPU core. Expected: an accuracy far above that of naming one class, 25 %.
#
#   mim train mmrepro-meta-transformer smoke_infrared.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="infrared",
    data="thermal pictures, generated",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(
    type="MetaTransformerClassifier",
    data_preprocessor=dict(type="ClsDataPreprocessor", mean=[127.5], std=[63.75]),
    tokenizer=dict(type="ImageTokenizer", img_size=64, patch_size=16),
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False),
    pooling="mean",
    encoder_norm=1e-6,
    head=dict(type="MetaLinearHead", num_classes=4),
)

pictures = dict(
    type="GeneratedThermal",
    generate=dict(train=256, test=128, size=64),
    pipeline=[dict(type="LoadImageFromFile", color_type="grayscale"), dict(type="PackInputs")],
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(pictures, part="train"),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(pictures, part="test"),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=20, val_interval=20)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=20, T_max=20, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(logger=dict(interval=20))

few = dict(train=8, test=4, size=32)
tiny = {
    "model.tokenizer": dict(img_size=32, patch_size=16),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2)),
    "train_dataloader": dict(batch_size=4, dataset=dict(generate=few)),
    "val_dataloader.dataset.generate": few,
    "test_dataloader.dataset.generate": few,
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del pictures, few
