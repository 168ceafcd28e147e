# Audio, small: spoken digits, by an encoder of 192 channels and four blocks that is trained here from random weights.
# Not a row of the paper. Data: Free Spoken Digit Dataset, real, three speakers: takes 2 to 7 of each digit, 180 files,
# to train on, takes 0 and 1, 60 files, to test on. Cost: less than a minute of one CPU core. Expected: an accuracy far
# above that of always naming one class, 10 %.
#
#   mim train mmrepro-meta-transformer smoke_audio.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="audio",
    data="spoken digits, real",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="AudioTokenizer", patch_size=16, stride=16, input_size=(64, 64)),
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False),
    pooling="mean",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=10),
)

bands = [
    dict(type="LoadAudio", sample_rate=8000),
    dict(type="FilterBank", num_bins=64, target_length=64),
    dict(type="NormalizeSpectrogram", mean=-6.0, std=3.5),
]
pack = dict(type="PackMetaInputs", keys="spectrogram")
digits = dict(type="SpokenDigitsDataset", data_root="{{$MMREPRO_DATA_ROOT:data}}/audio")
train_dataloader = dict(
    batch_size=30,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        digits, takes=(2, 3, 4, 5, 6, 7), pipeline=[*bands, dict(type="JitterSpectrogram", noise=0.1, roll=5), pack]
    ),
)
val_dataloader = dict(
    batch_size=60,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(digits, takes=(0, 1), pipeline=[*bands, pack]),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=60, val_interval=60)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=7e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=5, end=60, T_max=55, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=30)
default_hooks = dict(logger=dict(interval=6))

generated = dict(
    _delete_=True,
    type="GeneratedTonesDataset",
    serialize_data=False,
    generate=dict(train=8, test=4, seconds=0.4),
    pipeline=[
        dict(type="LoadAudio"),
        dict(type="FilterBank", num_bins=32, target_length=32),
        dict(type="NormalizeSpectrogram"),
        pack,
    ],
)
tiny = {
    "model.tokenizer": dict(stride=8, input_size=(32, 32)),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2)),
    "model.head": dict(num_classes=4),
    "train_dataloader": dict(batch_size=4, dataset=dict(generated, part="train")),
    "val_dataloader.dataset": dict(generated, part="test"),
    "test_dataloader.dataset": dict(generated, part="test"),
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del bands, pack, digits, generated
