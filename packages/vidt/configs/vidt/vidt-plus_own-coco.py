# Not a row of the paper: a template for pictures of your own with annotations in COCO's format, with masks or with
# boxes alone. It needs no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-vidt path/to/your_copy.py
#
# and detect with `ViDTInferencer("path/to/your_copy.py", "work_dirs/your_copy/best_coco_bbox_mAP_epoch_N.pth")`.
custom_imports = dict(imports=["mm_vidt"], allow_failed_imports=False)
default_scope = "mmdet"

# ----------------------------------------------------------------------------------------------------------------------
data_root = "data/my_pictures/"
train = dict(ann_file="annotations/train.json", data_prefix=dict(img="train/"))
val = dict(ann_file="annotations/val.json", data_prefix=dict(img="val/"))  # chooses the best weights
classes = ("cat", "dog")  # names in the annotation files, in the order that you want them
masks = True  # False where the annotations are boxes alone: then masks and token labels are not learnt
start = None  # weights to start from, such as "vidt_plus_nano_det300.pth", rather than ImageNet's
max_epochs = 50
batch_size = 2  # pictures at 800 x 1333; with_cp=True below saves memory and costs time
lr = 1e-4 * batch_size / 16
# ----------------------------------------------------------------------------------------------------------------------

model = dict(
    type="ViDT",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type="ViDTSwinTransformer",
        arch="nano",  # tiny, small or base: then in_channels and checkpoint of their configs, too
        num_det_tokens=300,
        with_cp=False,
        init_cfg=None
        if start
        else dict(
            type="PretrainedSwinBody",
            checkpoint="https://github.com/naver-ai/vidt/releases/download/v0.1-swin/swin_nano_patch4_window7_224.pth",
        ),
    ),
    neck=dict(type="EPFF", in_channels=[96, 192, 384, 256]),
    decoder=dict(num_layers=6, with_cp=False),
    bbox_head=dict(
        type="ViDTHead",
        num_classes=len(classes),
        with_vector=masks,
        iou_aware=True,
        token_label=masks,
        test_cfg=dict(max_per_img=100),
    ),
)

load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation", imdecode_backend="pillow")
pictures = dict(type="DetrCocoDataset", labels="contiguous", metainfo=dict(classes=classes), data_root=data_root)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        pictures,
        **train,
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            load,
            dict(type="LoadAnnotations", with_bbox=True, with_mask=masks),
            dict(type="FlipResizeCrop", resize_type="ViDTResize", short_sides=list(range(480, 801, 16)), longest=1333),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,  # pictures that are tested together are padded, which changes results a little
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        pictures,
        **val,
        test_mode=True,
        pipeline=[load, dict(type="ViDTResize", scale=(1333, 800)), dict(type="PackDetInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="DetrCocoMetric", ann_file=data_root + val["ann_file"], metric=["bbox", "segm"] if masks else "bbox"
)
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="ViDTParamGroups",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=1, end=max(2, max_epochs), T_max=max_epochs, eta_min=lr / 1000)
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
    # The weights to start from must fit, but rows of other classes (new_classes) and heads that the file lacks
    # (new_heads) are drawn anew, and heads that this network lacks are left out (drop_heads); the log lists them all.
    dict(type="ViDTCheckpointHook", new_classes=True, new_heads=True, drop_heads=True),
    dict(type="StrictLoadHook", paper="vidt"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
randomness = dict(seed=42)
load_from = start

# For this package's tests alone; leave it out of your copy.
drawn = dict(count=8, size=64)
generated = dict(_delete_=True, type="GeneratedCocoDataset", generate=drawn, labels="contiguous")
resize, pack = dict(type="ViDTResize", scale=64), dict(type="PackDetInputs")
annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=masks)
whole = dict(generated, test_mode=True, pipeline=[load, resize, pack])
metric = dict(_delete_=True, type="GeneratedCocoMetric", generate=drawn, metric=["bbox", "segm"] if masks else "bbox")
tiny = {
    "model.backbone.arch": dict(
        _delete_=True, embed_dims=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0
    ),
    "model.backbone.num_det_tokens": 12,
    "model.backbone.init_cfg": None,
    "model.neck.in_channels": [32, 64, 128, 256],
    "model.decoder": dict(num_layers=2, feedforward_channels=64, dropout=0.0),
    "model.bbox_head.num_classes": 3,
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset": dict(generated, pipeline=[load, annotations, resize, pack]),
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator": metric,
    "test_evaluator": metric,
    "train_cfg.max_epochs": 2,
    "load_from": None,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del load, pictures, train, val, drawn, generated, resize, pack, annotations, whole, metric, loader
