# Meta-Transformer (arXiv 2307.10802), point clouds, base encoder frozen, S3DIS tested on area 5: mIoU 72.3 in the paper
# [unverified], 8.83 M parameters trained (measured).
# model.official_compat=True is the random encoder of the released code. Points that fill up a small room do not count
# in the loss. Cost: A100; 600 epochs of 30 x 204 rooms. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_1xb8-600e_s3dis-area5.py
_base_ = [
    "../_base_/models/points_scene.py",
    "../_base_/datasets/s3dis.py",
    "../_base_/schedules/points_cosine_600e.py",
    "../_base_/default_runtime.py",
]
default_hooks = dict(checkpoint=dict(save_best="points/mIoU", rule="greater"))

few = [dict(type="SampleVoxels", voxel_size=0.2, max_points=256), *_base_.train_pipeline[1:]]
generated = dict(_delete_=True, type="GeneratedS3DISDataset", generate=dict(rooms=6, points=512))
tiny = {
    "model.tokenizer": dict(group_size=4),
    "model.encoder": dict(arch=dict(_delete_=True, embed_dims=16, depth=2, num_heads=2), init_cfg=None),
    "model.head": dict(hidden=(16,), dropout=0.0),
    "train_dataloader": dict(
        batch_size=2,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="train", pipeline=few),
    ),
    "val_dataloader": dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="test", pipeline=_base_.val_pipeline),
    ),
    "test_dataloader": dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(generated, split="test", pipeline=_base_.test_pipeline),
    ),
    "train_cfg": dict(max_epochs=2),
}
del few, generated
