# MonoDINO-DETR (arXiv 2502.00315) on ViT-B: the ViT and the depth head of Depth Anything V2, both frozen, and 50
# anchor-box queries in 11 groups. Four class scores, of which the last is never a target, as officially.
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
    backbone=dict(
        type="DINOv2ViT",
        arch="base",
        frozen=True,
        bf16=False,
        with_cp=False,
        init_cfg=dict(
            type="PretrainedDepthAnything",
            checkpoint="https://huggingface.co/depth-anything/Depth-Anything-V2-Base/resolve/main/depth_anything_v2_vitb.pth",
        ),
    ),
    depth_head=dict(
        type="DPTDepthHead",
        arch="base",
        frozen=True,
        bf16=False,
        init_cfg=dict(
            type="PretrainedDepthAnything",
            checkpoint="https://huggingface.co/depth-anything/Depth-Anything-V2-Base/resolve/main/depth_anything_v2_vitb.pth",
        ),
    ),
    neck=dict(type="HierarchicalFeatureFusion", in_channels=768, mid_channels=(192, 384), out_channels=256),
    depth_predictor=dict(type="DepthPredictor", num_depth_bins=80, depth_min=1e-3, depth_max=60.0, dropout=0.1),
    encoder=dict(num_layers=3, feedforward_channels=256, dropout=0.1, with_cp=False),
    decoder=dict(num_layers=3, use_dab=True, feedforward_channels=256, dropout=0.1, with_cp=False),
    num_queries=50,
    group_num=11,
    bbox_head=dict(
        type="MonoDETRHead",
        num_classes=4,
        known_classes=3,
        test_cfg=dict(max_per_img=50, score_thr=0.2, exact_affine_decode=False),
    ),
)

# For tests: a small frozen part of random weights, few queries, and generated frames of 320 x 96 pixels.
drawn = dict(count=8, size=(320, 96), seed=0, objects=3)
names = ("Pedestrian", "Car", "Cyclist")
load = dict(type="LoadImageFromFile", color_type="color", imdecode_backend="pillow")
fit = dict(type="KittiFlipCropAffine", size=(320, 96), flip_prob=0.0, crop_prob=0.0)
pack, read = dict(type="PackMono3DInputs"), dict(type="LoadKittiAnnotations3D")
generated = dict(
    _delete_=True,
    type="GeneratedKitti3DDataset",
    generate=drawn,
    writelist=("Car",),
    metainfo=dict(classes=names),
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
    "default_hooks.checkpoint.interval": 1,
    "load_from": None,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del drawn, names, load, fit, pack, read, generated, whole, loader
