# Videos, small: the motion of a shape, six kinds, by an encoder of 192 channels and four blocks that is trained here
# from random weights. Not a row of the paper.
# Data: generated, clips of one moving shape in mp4 files, 240 to train on, 60 to test on.
# Cost: less than a minute of one CPU core. Expected: an accuracy far above that of naming one motion, 17 %.
#
#   mim train mmrepro-meta-transformer smoke_video.py
_base_ = ["../_base_/default_runtime.py"]

smoke = dict(
    subject="video",
    data="clips of a moving shape, generated",
    network="random, trained here",
    metric="accuracy/top1",
    better="higher",
    baseline="the most frequent class",
)

model = dict(
    type="MultiViewClassifier",
    data_preprocessor=dict(type="ClipDataPreprocessor"),
    tokenizer=dict(type="VideoTokenizer", num_frames=8, img_size=32, patch_size=8, tubelet_size=2),
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=192, depth=4, num_heads=3), frozen=False),
    pooling="mean",
    pooled_norm=1e-6,
    head=dict(type="MetaLinearHead", num_classes=6),
)

clips = dict(type="GeneratedClips", generate=dict(train=240, val=60, frames=16, size=32))
read, stack = dict(type="LoadClip", num_frames=8, stride=2), dict(type="StackFrames", num_frames=8)
pack = dict(type="PackMetaInputs", keys="clip")
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(clips, part="train", pipeline=[dict(read, random=True), stack, pack]),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(clips, part="val", pipeline=[read, stack, pack]),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="Accuracy"), dict(type="MajorityBaseline")]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=6, val_interval=6)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=6, T_max=6, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(logger=dict(interval=20))

few = dict(train=6, val=6, frames=16, size=32)
tiny = {
    "model.tokenizer": dict(patch_size=16),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2)),
    "train_dataloader": dict(batch_size=2, dataset=dict(generate=few)),
    "val_dataloader.dataset.generate": few,
    "test_dataloader.dataset.generate": few,
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del clips, read, stack, pack, few
