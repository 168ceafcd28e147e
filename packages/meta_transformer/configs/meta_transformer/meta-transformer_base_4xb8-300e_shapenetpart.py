# Meta-Transformer (arXiv 2307.10802), point clouds, base encoder frozen, ShapeNetPart: instance mIoU 87.0 in the paper
# [unverified], 9.09 M parameters trained (measured).
# The authors average ten predictions of scaled copies and then refine them, which their figure includes. Here there is
# one prediction, among the parts of the object's kind. model.official_compat=True is the random encoder of the released
# code.
# Cost: 4 GPUs; 300 epochs. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_4xb8-300e_shapenetpart.py --launcher pytorch --gpus 4
_base_ = [
    "../_base_/models/points_shapenetpart.py",
    "../_base_/datasets/shapenetpart.py",
    "../_base_/schedules/points_step_300e.py",
    "../_base_/default_runtime.py",
]
default_hooks = dict(checkpoint=dict(save_best="parts/ins_mIoU", rule="greater"))

few = [dict(type="SamplePoints", count=64, how="with_replacement"), *_base_.train_pipeline[1:]]
shown = [dict(type="SamplePoints", count=64, repeat=True), *_base_.test_pipeline[1:]]
generated = dict(_delete_=True, type="GeneratedShapeNetPartDataset", generate=dict(train=2, val=2, test=2, points=128))
tiny = {
    "model.tokenizer": dict(group_size=4),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(hidden=(16,), dropout=0.0),
    "train_dataloader": dict(
        batch_size=2,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="trainval", pipeline=few),
    ),
    "val_dataloader": dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="test", pipeline=shown),
    ),
    "test_dataloader": dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="test", pipeline=shown),
    ),
    "train_cfg": dict(max_epochs=2),
}
del few, shown, generated
