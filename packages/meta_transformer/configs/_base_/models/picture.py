# Pictures of 224 x 224 in patches of 16, behind a class token, through the base encoder; the class token, normed, is
# classified. The official repository has this network for X-rays alone; for photographs it has weights and no code.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerClassifier",
    data_preprocessor=dict(
        type="ClsDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
        num_classes=1000,
    ),
    tokenizer=dict(type="ImageTokenizer", img_size=224, patch_size=16),
    pooling="cls",
    encoder_norm=1e-6,
    head=dict(type="MetaLinearHead", num_classes=1000),
)

# For tests: a small encoder of random weights, and generated pictures.
generated = dict(
    _delete_=True,
    type="GeneratedThermal",
    generate=dict(train=8, test=4, size=32),
    pipeline=[dict(type="LoadImageFromFile"), dict(type="PackInputs")],
)
tiny = {
    "model.data_preprocessor": dict(num_classes=4, batch_augments=None),
    "model.tokenizer": dict(img_size=32, patch_size=16),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None, drop_path=0.0),
    "model.head": dict(num_classes=4),
    "train_dataloader": dict(batch_size=4, num_workers=0, persistent_workers=False),
    "train_dataloader.dataset": dict(generated, part="train"),
    "val_dataloader": dict(batch_size=4, num_workers=0, persistent_workers=False),
    "val_dataloader.dataset": dict(generated, part="test"),
    "test_dataloader": dict(batch_size=4, num_workers=0, persistent_workers=False),
    "test_dataloader.dataset": dict(generated, part="test"),
    "val_evaluator": dict(topk=(1,)),
    "test_evaluator": [dict(type="Accuracy"), dict(type="MajorityBaseline")],
    "train_cfg": dict(max_epochs=2, val_interval=1),
}
del generated
