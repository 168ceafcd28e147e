# ViDT with the body Swin-nano (arXiv 2110.03921): 100 [DET] tokens, six decoder layers. One output per raw category id
# of COCO, 0 to 90, as officially: rows of ids that no category has are never positive.
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
        arch="nano",
        num_det_tokens=100,
        with_cp=False,
        init_cfg=dict(
            type="PretrainedSwinBody",
            checkpoint="https://github.com/naver-ai/vidt/releases/download/v0.1-swin/swin_nano_patch4_window7_224.pth",
        ),
    ),
    neck=dict(
        type="ChannelMapper",
        in_channels=[96, 192, 384, 256],
        kernel_size=1,
        out_channels=256,
        norm_cfg=dict(type="GN", num_groups=32),
        act_cfg=None,
        bias=True,
        num_outs=4,
    ),
    decoder=dict(num_layers=6, with_cp=False),
    bbox_head=dict(type="ViDTHead", num_classes=91, labels="raw", test_cfg=dict(max_per_img=100)),
)

# For tests: a small body, 12 [DET] tokens, and generated pictures, whose category ids go up to 7.
drawn = dict(count=8, size=64)
load = dict(type="LoadImageFromFile", color_type="color_ignore_orientation")
resize, pack = dict(type="ViDTResize", scale=64), dict(type="PackDetInputs")
generated = dict(_delete_=True, type="GeneratedCocoDataset", generate=drawn)
annotations = dict(type="LoadAnnotations", with_bbox=True)
train = dict(generated, filter_cfg=dict(filter_empty_gt=False), pipeline=[load, annotations, resize, pack])
whole = dict(generated, test_mode=True, pipeline=[load, resize, pack])
metric = dict(_delete_=True, type="GeneratedCocoMetric", generate=drawn, metric="bbox")
tiny = {
    "model.backbone.arch": dict(
        _delete_=True, embed_dims=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0
    ),
    "model.backbone.num_det_tokens": 12,
    "model.backbone.init_cfg": None,
    "model.bbox_head.num_classes": 8,
    "model.neck.in_channels": [32, 64, 128, 256],
    "model.decoder": dict(num_layers=2, feedforward_channels=64, dropout=0.0),
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset": train,
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator": metric,
    "test_evaluator": metric,
    "train_cfg.max_epochs": 2,
    "default_hooks.checkpoint.interval": 1,
    "load_from": None,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del drawn, load, resize, pack, generated, annotations, train, whole, metric, loader
