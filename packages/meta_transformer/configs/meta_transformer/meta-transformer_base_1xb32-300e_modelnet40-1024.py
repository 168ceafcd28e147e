# Meta-Transformer (arXiv 2307.10802), point clouds, base encoder frozen, ModelNet40 with 1,024 points: OA 93.6 in the
# paper [unverified], 1.46 M parameters trained (measured).
# The released code draws the encoder's weights again after loading them, so its "frozen Meta-Transformer" is a random
# encoder: model.official_compat=True reproduces that. Cost: A100; 300 epochs. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_1xb32-300e_modelnet40-1024.py
_base_ = [
    "../_base_/models/points_modelnet40.py",
    "../_base_/datasets/modelnet40.py",
    "../_base_/schedules/points_cosine_300e.py",
    "../_base_/default_runtime.py",
]
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))

generated = dict(
    _delete_=True,
    type="GeneratedModelNetDataset",
    generate=dict(train=8, test=4, points=64),
    metainfo=dict(classes=("ball", "box", "cone", "cross", "cylinder", "ring")),
)
tiny = {
    "model.tokenizer": dict(group_size=8, channels=(8, 8, 16)),
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
