# Filter banks of 224 bins and 224 frames in overlapping patches of 32 x 32, 400 tokens, through the base encoder. As
# released: the mean of the first two patches' features is classified, since no class token reaches the encoder; and the
# encoder's norms have an epsilon of 1e-6.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="AudioTokenizer", patch_size=32, stride=10, input_size=(224, 224), class_token=False),
    encoder=dict(norm_eps=1e-6),
    encoder_norm=1e-6,
    pooling="first2",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=35, multi_label=True),
)

# For tests: a small encoder of random weights, and generated tones.
generated = dict(
    _delete_=True,
    type="GeneratedTonesDataset",
    serialize_data=False,
    generate=dict(train=8, test=4, seconds=0.4),
    pipeline=[
        dict(type="LoadAudio"),
        dict(type="FilterBank", num_bins=32, target_length=32),
        dict(type="NormalizeSpectrogram"),
        dict(type="PackMetaInputs", keys="spectrogram"),
    ],
)
tiny = {
    "model.tokenizer": dict(patch_size=16, stride=8, input_size=(32, 32)),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(num_classes=4),
    "train_dataloader": dict(batch_size=4, num_workers=0, persistent_workers=False),
    "train_dataloader.dataset": dict(generated, part="train"),
    "val_dataloader": dict(num_workers=0, persistent_workers=False),
    "val_dataloader.dataset": dict(generated, part="test"),
    "test_dataloader": dict(num_workers=0, persistent_workers=False),
    "test_dataloader.dataset": dict(generated, part="test"),
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del generated
