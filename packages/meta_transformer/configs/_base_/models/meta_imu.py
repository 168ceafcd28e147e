# Six axes of an accelerometer and a gyroscope, one token a sample behind a class token, through the frozen base
# encoder.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="SeriesTokenizer", n_variates=6, length=128, dropout=0.1, class_token=True),
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", num_classes=6),
)

# For tests: a small encoder of random weights, and generated signals.
pack = [dict(type="PackMetaInputs", keys="series", meta_keys=("sample_idx", "person"))]
generated = dict(_delete_=True, type="GeneratedGaitDataset", generate=dict(train=24, test=12), pipeline=pack)
tiny = {
    "model.tokenizer": dict(dropout=0.0),
    "model.encoder": dict(arch=dict(embed_dims=16, depth=2, num_heads=2, _delete_=True), init_cfg=None),
    "train_dataloader": dict(batch_size=8, dataset=dict(generated, split="train")),
    "val_dataloader.dataset": dict(generated, split="test"),
    "test_dataloader.dataset": dict(generated, split="test"),
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del pack, generated
