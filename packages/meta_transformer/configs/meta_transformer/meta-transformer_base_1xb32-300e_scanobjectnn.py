# Meta-Transformer (arXiv 2307.10802), point clouds, base encoder frozen, the hardest variant of ScanObjectNN: the
# released code has this model, 4.71 M parameters trained (measured); no figure is reported for it.
# Not a row of the paper.
# model.official_compat=True is the random encoder of the released code.
# Cost: A100; 300 epochs. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_1xb32-300e_scanobjectnn.py
_base_ = [
    "../_base_/models/points_scanobjectnn.py",
    "../_base_/datasets/scanobjectnn.py",
    "../_base_/schedules/points_cosine_300e.py",
    "../_base_/default_runtime.py",
]
optim_wrapper = dict(clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=10, end=300, T_max=290, eta_min=1e-6),
]
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))

generated = dict(
    _delete_=True,
    type="GeneratedScanObjectNNDataset",
    generate=dict(train=8, test=4, points=64),
    metainfo=dict(classes=("ball", "box", "cone", "cross", "cylinder", "ring")),
)
tiny = {
    "model.tokenizer": dict(group_size=8),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(hidden=(16, 16), dropout=0.0),
    "model.head.num_classes": 6,
    "train_dataloader": dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="train", pipeline=[dict(type="PackMetaInputs", keys="points")]),
    ),
    "val_dataloader": dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="test", pipeline=[dict(type="PackMetaInputs", keys="points")]),
    ),
    "test_dataloader": dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="test", pipeline=[dict(type="PackMetaInputs", keys="points")]),
    ),
    "train_cfg": dict(max_epochs=2),
}
del generated
