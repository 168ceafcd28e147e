# Detection in minutes: a small ViT-CoMer (4 blocks, 64 channels) with Mask R-CNN on generated pictures of discs,
# squares and triangles, with boxes and masks, from random weights. Not a row of the paper. Cost: minutes on one CPU
# core. Expected: AP of boxes and of masks far above that of boxes at common places.
#
#   mmrepro quickstart vit_comer --config mask-rcnn_vit-comer-c64_1xb4_shapes
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "../_base_/runtime_mmdet.py", "../_base_/schedules/adamw_c64.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="ViTCoMer",
        arch=dict(embed_dim=64, depth=4, num_heads=4),
        variant="det",
        pretrain_size=128,
        conv_inplane=16,
        deform_num_heads=4,
        deform_ratio=1.0,
        mrfp_ratio=1.0,
        init_values=0.1,  # there is no pre-trained ViT to be spared at the start
        norm_cfg=dict(type="BN"),
    ),
    neck=dict(in_channels=[64, 64, 64, 64], out_channels=64),
    # objects have 12 to 58 pixels: anchors from 16
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=14),
        bbox_head=dict(in_channels=64, fc_out_channels=128, num_classes=3),
        mask_roi_extractor=dict(out_channels=64, finest_scale=14),
        mask_head=dict(in_channels=64, conv_out_channels=32, num_convs=2, num_classes=3),
    ),
    # few objects to a picture need few proposals
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=20)),
)

train_pictures = dict(count=240, size=128, seed=0)
val_pictures = dict(count=24, size=128, seed=100_000)
test_pictures = dict(count=48, size=128, seed=200_000)
load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
metas = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
shown = [
    *load,
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=metas),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="ShapesCocoDataset",
        generate=train_pictures,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[*load, dict(type="RandomFlip", prob=0.5), dict(type="PackDetInputs")],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ShapesCocoDataset", generate=val_pictures, test_mode=True, pipeline=shown),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(type="ShapesCocoDataset", generate=test_pictures, test_mode=True, pipeline=shown),
)
val_evaluator = dict(type="ShapesCocoMetric", generate=val_pictures, metric=["bbox", "segm"])
test_evaluator = [
    dict(val_evaluator, generate=test_pictures),
    dict(type="ShapesCommonPlacesMetric", generate=test_pictures, train=train_pictures),
]
del load, metas, shown, train_pictures, val_pictures, test_pictures

train_cfg = dict(type="ResumableEpochLoop", max_epochs=6, val_interval=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=51),
    dict(type="MultiStepLR", by_epoch=True, milestones=[5], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=10))

tiny = {
    "train_dataloader.dataset.generate": dict(count=8, size=64),
    "val_dataloader.dataset.generate": dict(count=4, size=64, seed=100),
    "test_dataloader.dataset.generate": dict(count=4, size=64, seed=200),
    "val_evaluator.generate": dict(count=4, size=64, seed=100),
    "test_evaluator": [dict(val_evaluator, generate=dict(count=4, size=64, seed=200))],
    "train_cfg.max_epochs": 2,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 2,
}
