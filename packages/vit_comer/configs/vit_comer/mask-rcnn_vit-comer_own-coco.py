# Not a row of the paper: a template for pictures of your own with boxes and masks in COCO's format. It needs no other
# file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-vit-comer path/to/your_copy.py
custom_imports = dict(imports=["mm_vit_comer"], allow_failed_imports=False)
default_scope = "mmdet"
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py"]

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_pictures/"
train = dict(ann_file="annotations/train.json", data_prefix=dict(img="train/"))
val = dict(ann_file="annotations/val.json", data_prefix=dict(img="val/"))  # chooses the best weights
classes = ("cat", "dog")  # of the categories in the annotation files, in their order
arch, width, num_layers, layer_decay_rate = "small", 384, 12, 0.7  # or "base", 768, 12, 0.6; "large", 1024, 24, 0.8
pretrain_size = 592  # of the positions that the weights below have: 592 in DINOv2, 224 in DeiT
# Weights of the same size: "base" needs dinov2_vitb14/dinov2_vitb14_pretrain.pth, "large" dinov2_vitl14/... alike
pretrained = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"
start = None  # a detector's weights to start from instead, such as the authors' file of 48.6 AP: far better
max_epochs = 12
batch_size = 2  # pictures at 800 x 1333; with_cp=True and cti_with_cp=True below save memory and cost time
lr = 1e-4 * batch_size / 16
# ----------------------------------------------------------------------------------------------------------------------

# Batch norm of few pictures is noisy: with a batch of 1, take GN for both norms (weights of a detector then differ).
model = dict(
    backbone=dict(
        _delete_=True,
        type="ViTCoMer",
        arch=arch,
        variant="det",
        pretrain_size=pretrain_size,
        with_cp=False,
        cti_with_cp=False,
        norm_cfg=dict(type="SyncBN"),
        mrfp_norm_cfg=dict(type="BN"),
        init_cfg=None if start else dict(type="PretrainedViT", checkpoint=pretrained),
    ),
    neck=dict(in_channels=[width, width, width, width]),
    roi_head=dict(bbox_head=dict(num_classes=len(classes)), mask_head=dict(num_classes=len(classes))),
)

annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
pictures = dict(type="CheckedCocoDataset", metainfo=dict(classes=classes), data_root=data_root)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        pictures,
        **train,
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type="LoadImageFromFile"),
            annotations,
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomChoiceResize", scales=[(side, 1333) for side in range(480, 801, 32)], keep_ratio=True),
            dict(type="RandomCrop", crop_type="absolute_range", crop_size=(1024, 1024), allow_negative_crop=True),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        pictures,
        **val,
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1333, 800), keep_ratio=True),
            annotations,
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric", ann_file=data_root + val["ann_file"], metric=["bbox", "segm"])
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",  # `--amp` trains in bf16
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=num_layers, layer_decay_rate=layer_decay_rate),
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(
        type="MultiStepLR",
        by_epoch=True,
        milestones=[max(1, max_epochs * 2 // 3), max(1, max_epochs * 11 // 12)],
        gamma=0.1,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(
        type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2, save_best="coco/bbox_mAP", rule="greater"
    ),
    visualization=dict(type="DetVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
# Of the weights to start from, all must fit but what belongs to the classes, which is drawn anew.
anew = ("roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg", "roi_head.mask_head.conv_logits")
custom_hooks = [
    dict(
        type="ViTCoMerCheckpointHook",
        ignore=["roi_head.bbox_head.num_classes", "roi_head.mask_head.num_classes"],
    ),
    dict(type="StrictLoadHook", paper="vit_comer", ignore=anew),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
randomness = dict(seed=0)
load_from = start

# For this package's tests alone; leave it out of your copy.
drawn = dict(count=8, size=64)
small = [
    dict(type="LoadImageFromFile"),
    annotations,
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="PackDetInputs"),
]
generated = dict(_delete_=True, type="ShapesCocoDataset", generate=drawn, pipeline=small)
metric = dict(_delete_=True, type="ShapesCocoMetric", generate=drawn, metric=["bbox", "segm"])
tiny = {
    "model.backbone": dict(
        arch=dict(_delete_=True, embed_dim=32, depth=4, num_heads=2),
        drop_path_rate=0.0,
        pretrain_size=64,
        conv_inplane=8,
        deform_num_heads=2,
        deform_ratio=1.0,
        norm_cfg=dict(type="BN"),
        init_cfg=None,
    ),
    "model.neck": dict(in_channels=[32, 32, 32, 32], out_channels=32),
    "model.rpn_head": dict(in_channels=32, feat_channels=32),
    "model.roi_head.bbox_roi_extractor.out_channels": 32,
    "model.roi_head.mask_roi_extractor.out_channels": 32,
    "model.roi_head.bbox_head": dict(in_channels=32, fc_out_channels=32, num_classes=3),
    "model.roi_head.mask_head": dict(in_channels=32, conv_out_channels=16, num_classes=3),
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": dict(generated, test_mode=True),
    "test_dataloader.dataset": dict(generated, test_mode=True),
    "val_evaluator": metric,
    "test_evaluator": metric,
    "optim_wrapper.paramwise_cfg.num_layers": 4,
    "train_cfg.max_epochs": 2,
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del annotations, pictures, train, val, anew, drawn, small, generated, metric, loader
