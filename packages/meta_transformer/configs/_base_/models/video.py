# Clips of 16 frames of 224 x 224 in tubelets of 2 x 16 x 16, through the base encoder; the mean of all tokens, normed,
# is classified. Attention has biases for queries and values alone: of the released encoder's, those of the keys go.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MultiViewClassifier",
    data_preprocessor=dict(type="ClipDataPreprocessor", num_classes=400),
    tokenizer=dict(type="VideoTokenizer", num_frames=16, img_size=224, patch_size=16, tubelet_size=2),
    encoder=dict(frozen=False, norm_eps=1e-6, qkv="video", drop_path=0.1),
    pooling="mean",
    pooled_norm=1e-6,
    head=dict(type="MetaLinearHead", num_classes=400, init_scale=0.001),
)

# For tests: a small encoder of random weights, and generated clips.
read = dict(type="LoadClip", num_frames=4, stride=2)
pack = [dict(type="StackFrames", num_frames=4), dict(type="PackMetaInputs", keys="clip")]
views = [dict(type="StackFrames", num_frames=4, views=True), dict(type="PackMetaInputs", keys="clip")]
generated = dict(_delete_=True, type="GeneratedClips", generate=dict(train=6, val=6, frames=8, size=32))
tested = dict(generated, part="val", pipeline=[dict(read, num_clips=2), dict(type="CropViews", count=3), *views])
tiny = {
    "model.data_preprocessor": dict(num_classes=6, batch_augments=None),
    "model.tokenizer": dict(num_frames=4, img_size=32),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None, drop_path=0.0),
    "model.head": dict(num_classes=6, init_scale=1.0),
    "train_dataloader": dict(batch_size=2, num_workers=0, persistent_workers=False),
    "train_dataloader.dataset": dict(generated, part="train", pipeline=[dict(read, random=True), *pack]),
    "val_dataloader": dict(batch_size=2, num_workers=0, persistent_workers=False),
    "val_dataloader.dataset": dict(generated, part="val", pipeline=[read, *pack]),
    "test_dataloader": dict(batch_size=2, num_workers=0, persistent_workers=False),
    "test_dataloader.dataset": tested,
    "val_evaluator": dict(topk=(1,)),
    "test_evaluator": [dict(type="Accuracy"), dict(type="MajorityBaseline")],
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del read, pack, views, generated, tested
