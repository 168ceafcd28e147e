# Not a row of the paper: a template for pictures of your own with annotations in COCO's format. It needs no other file:
# copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-relation-detr path/to/your_copy.py
#
# and detect with `RelationDETRInferencer("path/to/your_copy.py",
# "work_dirs/your_copy/best_coco_bbox_mAP_epoch_N.pth")`.
custom_imports = dict(imports=["mm_relation_detr"], allow_failed_imports=False)
default_scope = "mmdet"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_pictures/"
train = dict(ann_file="annotations/train.json", data_prefix=dict(img="train/"))
val = dict(ann_file="annotations/val.json", data_prefix=dict(img="val/"))  # chooses the best weights
classes = ("cat", "dog")  # names in the annotation files, in the order that you want them
start = None  # weights to start from, such as "relation_detr_resnet50_800_1333_coco_1x.pth": far better than none
max_epochs = 24
batch_size = 2  # pictures at 800 x 1333; with_cp=True below saves memory and costs time
lr = 1e-4 * batch_size / 10
# ----------------------------------------------------------------------------------------------------------------------

model = dict(
    type="RelationDETR",
    num_queries=900,
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        init_cfg=None if start else dict(type="PretrainedBackbone", checkpoint="torchvision://resnet50.imagenet1k_v2"),
    ),
    neck=dict(
        type="ChannelMapper",
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=256,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        num_outs=4,
    ),
    positional_encoding=dict(num_feats=128, normalize=True, offset=-0.5, eps=1e-6, temperature=10000),
    encoder=dict(
        num_layers=6,
        with_cp=False,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_levels=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
    ),
    decoder=dict(
        num_layers=6,
        with_cp=False,
        position_relation=dict(embed_dim=16),
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8),
            cross_attn_cfg=dict(embed_dims=256, num_levels=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
    ),
    bbox_head=dict(type="RelationDETRHead", num_classes=len(classes), embed_dims=256),
    test_cfg=dict(max_per_img=300),
)

load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")
pictures = dict(type="RelationCocoDataset", labels="contiguous", metainfo=dict(classes=classes), data_root=data_root)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioGroupBatchSampler"),
    dataset=dict(
        pictures,
        **train,
        pipeline=[
            load,
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="DETRAugmentation"),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        pictures,
        **val,
        test_mode=True,
        pipeline=[
            load,
            dict(type="TorchResize", scale=(1333, 800), single_precision=True),
            dict(type="PackDetInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="RelationCocoMetric", ann_file=data_root + val["ann_file"])
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="RelationDETRParamGroups",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type="FirstEpochLinearLR", start_factor=0.001, by_epoch=True, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[max(1, max_epochs * 5 // 6)], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(
        type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2, save_best="coco/bbox_mAP", rule="greater"
    ),
    visualization=dict(type="DetVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
custom_hooks = [
    # Of the weights to start from, all must fit but what belongs to other classes: that is drawn anew and listed.
    dict(type="RelationLoadHook", new_classes=True),
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
generated = dict(_delete_=True, type="GeneratedCocoDataset", generate=drawn, labels="contiguous")
small = [load, dict(type="LoadAnnotations", with_bbox=True), dict(type="TorchResize", scale=64)]
whole = dict(generated, test_mode=True, pipeline=[*small, dict(type="PackDetInputs")])
metric = dict(_delete_=True, type="GeneratedCocoMetric", generate=drawn, labels="contiguous")
tiny = {
    "model.num_queries": 12,
    "model.backbone": dict(
        depth=18, base_channels=8, frozen_stages=-1, norm_cfg=dict(type="BN", requires_grad=True), init_cfg=None
    ),
    "model.neck.in_channels": [16, 32, 64],
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 2,
    "model.bbox_head.num_classes": 3,
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset": dict(generated, pipeline=[*small, dict(type="PackDetInputs")]),
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator": metric,
    "test_evaluator": metric,
    "train_cfg.max_epochs": 2,
    "load_from": None,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del load, pictures, train, val, drawn, generated, small, whole, metric, loader
