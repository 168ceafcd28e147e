# Not a row of the paper: a template for frames of your own in KITTI's layout, of any camera and any size of picture. It
# needs no other file: copy it anywhere, change what stands between the lines, then
#
#   mim train mmrepro-monodino-detr path/to/your_copy.py
custom_imports = dict(imports=["mm_monodino_detr"], allow_failed_imports=False)
default_scope = "mmdet"

# ----------------------------------------------------------------------------------------------------------------------
# Below data_root: ImageSets/train.txt and val.txt, names of frames one on each line; and for each frame
# training/image_2/NAME.png, training/calib/NAME.txt (a line "P2: " and the camera's 12 numbers) and
# training/label_2/NAME.txt.
data_root = "data/my_frames/"
classes = ("Car",)  # names in the label files, in the order that you want them
size = (1280, 384)  # width and height that pictures are scaled and cut to; of about the shape of yours
num_depth_bins, depth_max = 80, 60.0  # bins of depth, and where they end in metres
start = None  # a checkpoint of a training to start from; else the frozen parts alone are loaded
max_epochs = 195
batch_size = 8
lr = 2e-4 * batch_size / 32
# ----------------------------------------------------------------------------------------------------------------------

frozen = dict(
    type="PretrainedDepthAnything",
    checkpoint="https://huggingface.co/depth-anything/Depth-Anything-V2-Base/resolve/main/depth_anything_v2_vitb.pth",
)
model = dict(
    type="MonoDINODETR",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    target_size=518,
    # small or large: then arch of both, in_channels and mid_channels of their configs, too
    backbone=dict(type="DINOv2ViT", arch="base", init_cfg=None if start else frozen),
    depth_head=dict(type="DPTDepthHead", arch="base", init_cfg=None if start else frozen),
    neck=dict(type="HierarchicalFeatureFusion", in_channels=768, mid_channels=(192, 384), out_channels=256),
    depth_predictor=dict(type="DepthPredictor", num_depth_bins=num_depth_bins, depth_min=1e-3, depth_max=depth_max),
    encoder=dict(num_layers=3),
    decoder=dict(num_layers=3, use_dab=True),
    num_queries=50,  # the most objects in a picture
    group_num=11,
    bbox_head=dict(
        type="MonoDETRHead",
        num_classes=len(classes),
        # pictures are cut as well as scaled, which boxes are led back through exactly; officially they are not
        test_cfg=dict(max_per_img=50, score_thr=0.2, exact_affine_decode=True),
    ),
)

load = dict(type="LoadImageFromFile", color_type="color", imdecode_backend="pillow")
frames = dict(
    type="Kitti3DDataset",
    data_root=data_root,
    data_prefix=dict(img="training/image_2", calib="training/calib", label="training/label_2"),
    writelist=classes,
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        frames,
        ann_file="ImageSets/train.txt",
        pipeline=[
            load,
            dict(type="LoadKittiAnnotations3D", depth_range=(2.0, depth_max)),
            dict(type="KittiPhotometricDistort", wrap_uint8=False),  # officially too bright values become dark ones
            dict(type="KittiFlipCropAffine", size=size, flip_prob=0.5, crop_prob=0.5, scale=0.05, shift=0.05),
            dict(type="PackMono3DInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        frames,
        ann_file="ImageSets/val.txt",
        test_mode=True,
        pipeline=[
            load,
            dict(type="KittiFlipCropAffine", size=size, flip_prob=0.0, crop_prob=0.0),
            dict(type="PackMono3DInputs"),
        ],
    ),
)
test_dataloader = val_dataloader
# Classes other than KITTI's Car match at an overlap of more than 0.5 (loose tables: 0.25 in BEV and 3D). For cars of
# another name add rules=dict(Kart=dict(overlaps=((0.7, 0.7, 0.7), (0.7, 0.5, 0.5)))), strict and loose, each in 2D, BEV
# and 3D; the tool kitti_eval takes the same as JSON, --rules FILE.json.
val_evaluator = dict(type="KittiMetric3D", evaluated=classes)
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableEpochLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="MonoDINOParamGroups",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [
    dict(
        type="MultiStepLR",
        by_epoch=True,
        begin=0,
        end=max_epochs,
        milestones=[max_epochs * 125 // 195, max_epochs * 165 // 195],
        gamma=0.1,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(
        type="AtomicCheckpointHook",
        interval=1,
        max_keep_ckpts=2,
        save_best=f"kitti/{classes[0]}_AP3D_R40_moderate",
        rule="greater",
    ),
    visualization=dict(type="DetVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
custom_hooks = [
    # The weights to start from must fit, but class scores of other classes are drawn anew; the log lists them.
    dict(type="MonoDINOCheckpointHook", new_classes=True),
    dict(type="StrictLoadHook", paper="monodino_detr"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
visualizer = dict(type="Mono3DLocalVisualizer", reach=depth_max * 7 / 6, vis_backends=[dict(type="LocalVisBackend")])
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
randomness = dict(seed=444)
load_from = start

# For this package's tests alone; leave it out of your copy.
drawn = dict(count=8, size=(320, 96), seed=0, objects=3)
fit = dict(type="KittiFlipCropAffine", size=(320, 96), flip_prob=0.0, crop_prob=0.0)
pack, read = dict(type="PackMono3DInputs"), dict(type="LoadKittiAnnotations3D")
generated = dict(
    _delete_=True,
    type="GeneratedKitti3DDataset",
    generate=drawn,
    writelist=classes,
    metainfo=dict(classes=classes),
    pipeline=[load, read, fit, pack],
)
whole = dict(generated, ann_file="ImageSets/val.txt", test_mode=True, pipeline=[load, fit, pack])
tiny = {
    "model.target_size": 84,
    "model.backbone.arch": dict(_delete_=True, embed_dims=48, depth=4, num_heads=2, out_indices=(0, 1, 2, 3)),
    "model.backbone.img_size": 84,
    "model.backbone.init_cfg": None,
    "model.depth_head.arch": dict(_delete_=True, embed_dims=48, features=16, out_channels=(8, 16, 32, 48)),
    "model.depth_head.init_cfg": None,
    "model.neck": dict(in_channels=48, mid_channels=(32, 32)),
    "model.depth_predictor.dropout": 0.0,
    "model.encoder": dict(num_layers=1, dropout=0.0),
    "model.decoder": dict(num_layers=2, dropout=0.0),
    "model.num_queries": 10,
    "model.group_num": 2,
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset": dict(generated, ann_file="ImageSets/train.txt"),
    "val_dataloader.batch_size": 2,
    "val_dataloader.dataset": whole,
    "test_dataloader.batch_size": 2,
    "test_dataloader.dataset": whole,
    "train_cfg.max_epochs": 2,
    "load_from": None,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del frozen, load, frames, drawn, fit, pack, read, generated, whole, loader
