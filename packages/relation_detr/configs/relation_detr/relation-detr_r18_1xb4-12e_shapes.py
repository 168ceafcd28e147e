# The quickstart: a small Relation-DETR (ResNet-18 of 16 channels, 64 channels, 30 queries) trained on generated
# pictures of discs, squares and triangles. Not a row of the paper. Cost: a few minutes on two CPU cores. Expected: AP
# well above zero, while guessing common places without looking stays near it.
#
#   mmrepro quickstart relation_detr
_base_ = ["../_base_/models/relation-detr_r50.py", "../_base_/default_runtime.py"]

model = dict(
    num_queries=30,
    hybrid_num_queries=60,
    hybrid_repeat=3,
    num_feature_levels=3,
    backbone=dict(
        depth=18,
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128], out_channels=64, norm_cfg=dict(num_groups=8), num_outs=3),
    positional_encoding=dict(num_feats=32),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_levels=3),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=128),
        ),
    ),
    decoder=dict(
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64),
            cross_attn_cfg=dict(embed_dims=64, num_levels=3),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=128),
        ),
    ),
    bbox_head=dict(num_classes=8, embed_dims=64),
    dn_cfg=dict(group_cfg=dict(dynamic=True, num_dn_queries=20)),
    test_cfg=dict(max_per_img=30),
)

train_pictures = dict(count=240, size=128, seed=0)
val_pictures = dict(count=24, size=128, seed=100_000)
test_pictures = dict(count=48, size=128, seed=200_000)
load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")
shown = [load, dict(type="TorchResize", scale=(128, 128), single_precision=True), dict(type="PackDetInputs")]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="GeneratedCocoDataset",
        generate=train_pictures,
        pipeline=[
            load,
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="TorchResize", scale=(128, 128)),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(type="GeneratedCocoDataset", generate=val_pictures, test_mode=True, pipeline=shown),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(type="GeneratedCocoDataset", generate=test_pictures, test_mode=True, pipeline=shown),
)
val_evaluator = dict(type="GeneratedCocoMetric", generate=val_pictures)
test_evaluator = [
    dict(type="GeneratedCocoMetric", generate=test_pictures),
    dict(type="CommonPlacesMetric", generate=test_pictures, train=train_pictures),
]
del load, shown, train_pictures, val_pictures, test_pictures

train_cfg = dict(type="ResumableEpochLoop", max_epochs=12, val_interval=3)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="RelationDETRParamGroups",
    paramwise_cfg=dict(backbone_lr_mult=1.0, projection_lr_mult=0.1),
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type="FirstEpochLinearLR", start_factor=0.001, by_epoch=True, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[10], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=20))
