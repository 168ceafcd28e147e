# Relation-DETR with ResNet-50 and four feature levels (arXiv 2407.11699). One output per raw category id of COCO, 0 to
# 90, as officially: rows of ids that no category has are never positive. The hybrid branch has its published 1,500
# queries, six per target, by default.
model = dict(
    type="RelationDETR",
    num_queries=900,
    num_feature_levels=4,
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
        init_cfg=dict(type="PretrainedBackbone", checkpoint="torchvision://resnet50.imagenet1k_v2"),
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
        with_cp=False,  # True: less memory, more time
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
    bbox_head=dict(type="RelationDETRHead", num_classes=91, embed_dims=256),
    test_cfg=dict(max_per_img=300),  # clip=True brings boxes into the image, as mmdet does and the official code not
)

# What makes a config small enough for a test, without a data file (mmrepro.testing.tiny).
generated = dict(
    _delete_=True,
    type="GeneratedCocoDataset",
    generate=dict(count=8, size=64),
    pipeline=[
        dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="DETRAugmentation", short_sides=(56, 64), longest=96, first_short_sides=(64,), crop=(40, 60)),
        dict(type="PackDetInputs"),
    ],
)
whole = dict(
    generated,
    test_mode=True,
    pipeline=[
        dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
        dict(type="TorchResize", scale=(96, 64), single_precision=True),
        dict(type="PackDetInputs"),
    ],
)
tiny = {
    "model.num_queries": 12,
    "model.backbone": dict(
        depth=18, base_channels=8, frozen_stages=-1, norm_cfg=dict(type="BN", requires_grad=True), init_cfg=None
    ),
    "model.neck.in_channels": [16, 32, 64],
    "model.neck.out_channels": 32,
    "model.neck.norm_cfg.num_groups": 4,
    "model.positional_encoding.num_feats": 16,
    "model.encoder.num_layers": 2,
    "model.encoder.layer_cfg.self_attn_cfg.embed_dims": 32,
    "model.encoder.layer_cfg.ffn_cfg": dict(embed_dims=32, feedforward_channels=48),
    "model.decoder.num_layers": 3,
    "model.decoder.layer_cfg.self_attn_cfg.embed_dims": 32,
    "model.decoder.layer_cfg.cross_attn_cfg.embed_dims": 32,
    "model.decoder.layer_cfg.ffn_cfg": dict(embed_dims=32, feedforward_channels=48),
    "model.bbox_head.num_classes": 8,
    "model.bbox_head.embed_dims": 32,
    "train_dataloader.dataset": generated,
    "val_dataloader.dataset": whole,
    "test_dataloader.dataset": whole,
    "val_evaluator": dict(_delete_=True, type="GeneratedCocoMetric", generate=dict(count=8, size=64)),
    "test_evaluator": dict(_delete_=True, type="GeneratedCocoMetric", generate=dict(count=8, size=64)),
    "train_dataloader.batch_size": 2,
    "train_cfg.max_epochs": 2,
    "default_hooks.logger.interval": 2,
}
for loader in ("train", "val", "test"):
    tiny |= {f"{loader}_dataloader.num_workers": 0, f"{loader}_dataloader.persistent_workers": False}
del generated, whole, loader
