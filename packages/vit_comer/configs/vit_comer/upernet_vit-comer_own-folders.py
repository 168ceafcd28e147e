# Not a row of the paper: a template for a folder of pictures of your own and a folder of label maps, PNG files of the
# pictures' names with one number for each pixel. It needs no other file: copy it anywhere, change what stands between
# the lines, then
#
#   mim train mmrepro-vit-comer path/to/your_copy.py
custom_imports = dict(imports=["mm_vit_comer"], allow_failed_imports=False)
default_scope = "mmseg"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_pictures"
train = dict(img_path="images/train", seg_map_path="labels/train")
val = dict(img_path="images/val", seg_map_path="labels/val")  # chooses the best weights
classes = ("road", "tree", "other")  # of the values 0, 1, 2; 255 is nothing, and left out
reduce_zero_label = False  # True: the classes have the values 1, 2, 3, and 0 is nothing
arch, width, num_layers = "tiny", 192, 12  # or "small", 384, 12; "base", 768, 12; "large", 1024, 24
# Weights of the same size: another arch needs deit_small_patch16_224-cd65a155.pth, deit_base_patch16_224-b5f2ef4d.pth,
# or for "large", which DeiT has not, AugReg's or MAE's of ViT-L/16.
pretrained = "https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth"
start = None  # a segmentor's weights to start from instead, such as the authors' file of 43.5 mIoU: far better
max_iters = 20_000
batch_size = 4
crop_size = (512, 512)
lr = 1.2e-4 * batch_size / 16  # the published rate of T for 16 pictures per step; the others' is 6e-5
# ----------------------------------------------------------------------------------------------------------------------

# Batch norm of few pictures is noisy: with a batch of 1, take GN for `norm` and mrfp_norm_cfg (weights of a segmentor
# then differ).
norm = dict(type="SyncBN")
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
    ),
    backbone=dict(
        type="ViTCoMer",
        arch=arch,
        variant="seg",
        with_cp=False,
        cti_with_cp=False,
        norm_cfg=norm,
        mrfp_norm_cfg=dict(type="BN"),
        init_cfg=None if start else dict(type="PretrainedViT", checkpoint=pretrained),
    ),
    decode_head=dict(
        type="UPerHead",
        in_channels=[width, width, width, width],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        num_classes=len(classes),
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=width,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=len(classes),
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=tuple(side * 2 // 3 for side in crop_size)),
)

labels = dict(type="LoadAnnotations", reduce_zero_label=reduce_zero_label)
pictures = dict(
    type="FolderSegDataset",
    data_root=data_root,
    metainfo=dict(classes=classes),
    reduce_zero_label=reduce_zero_label,
)
long_side = 4 * crop_size[0]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        pictures,
        data_prefix=train,
        pipeline=[
            dict(type="LoadImageFromFile"),
            labels,
            dict(type="RandomResize", scale=(long_side, crop_size[0]), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackSegInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        pictures,
        data_prefix=val,
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(long_side, crop_size[0]), keep_ratio=True),
            labels,  # last, for labels keep their size
            dict(type="PackSegInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
# Several scales and flipped: better and slower, `mim test ... --tta`.
tta_model = dict(type="SegTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(int(long_side * ratio), int(crop_size[0] * ratio)), keep_ratio=True)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableIterLoop", max_iters=max_iters, val_interval=1000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",  # `--amp` trains in bf16
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=num_layers, layer_decay_rate=0.95),
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.01),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=min(1500, max_iters // 10) + 1),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=0, end=max_iters + 1),
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    checkpoint=dict(
        type="AtomicCheckpointHook", by_epoch=False, interval=1000, max_keep_ckpts=2, save_best="mIoU", rule="greater"
    ),
    visualization=dict(type="SegVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
# Of the weights to start from, all must fit but what belongs to the classes, which is drawn anew.
custom_hooks = [
    dict(type="LabelCheckHook"),  # looks at every label map before the first step
    dict(
        type="ViTCoMerCheckpointHook",
        ignore=["decode_head.num_classes", "auxiliary_head.num_classes"],
    ),
    dict(type="StrictLoadHook", paper="vit_comer", ignore=["decode_head.conv_seg", "auxiliary_head.conv_seg"]),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
log_processor = dict(by_epoch=False)
visualizer = dict(type="SegLocalVisualizer", name="visualizer", vis_backends=[dict(type="LocalVisBackend")])
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
randomness = dict(seed=0)
load_from = start

# For this package's tests alone; leave it out of your copy.
generated = dict(
    _delete_=True,
    type="GeneratedSegDataset",
    generate=dict(count=8, size=64),
    pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")],
)
tiny = {
    "model.data_preprocessor.size": (64, 64),
    "model.backbone": dict(
        arch=dict(_delete_=True, embed_dim=32, depth=4, num_heads=2),
        drop_path_rate=0.0,
        pretrain_size=64,
        conv_inplane=8,
        deform_num_heads=2,
        deform_ratio=1.0,
        mrfp_ratio=0.5,
        norm_cfg=dict(type="BN"),
        init_cfg=None,
    ),
    "model.decode_head": dict(in_channels=[32, 32, 32, 32], channels=16, num_classes=4, norm_cfg=dict(type="BN")),
    "model.auxiliary_head": dict(in_channels=32, channels=16, num_classes=4, norm_cfg=dict(type="BN")),
    "model.test_cfg": dict(crop_size=(64, 64), stride=(43, 43)),
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": generated,
    "test_dataloader.dataset": generated,
    "optim_wrapper.paramwise_cfg.num_layers": 4,
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del norm, labels, pictures, long_side, train, val, generated, loader
