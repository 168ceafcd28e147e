# Pixels of 200 bands, one token each behind a class token, through the frozen base encoder; 16 kinds of land cover.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="HyperspectralTokenizer", num_bands=200, in_channels=1, dropout=0.1),
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=16),
)

# For tests: a small encoder of random weights, and the pixels of a generated scene.
pack = [dict(type="PackMetaInputs", keys="bands", meta_keys=("sample_idx", "row", "column"))]
scene = dict(size=16, bands=12, classes=3, train_per_class=8)
generated = dict(_delete_=True, type="GeneratedSpectraDataset", generate=scene, pipeline=pack)
tiny = {
    "model.tokenizer": dict(num_bands=12, dropout=0.0),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(num_classes=3),
    "train_dataloader": dict(batch_size=8, num_workers=0, persistent_workers=False),
    "train_dataloader.dataset": dict(generated, split="train"),
    "val_dataloader": dict(num_workers=0, persistent_workers=False),
    "val_dataloader.dataset": dict(generated, split="test"),
    "test_dataloader": dict(num_workers=0, persistent_workers=False),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del pack, scene, generated
