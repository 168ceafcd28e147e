# Mask2Former with ViT-Adapter around Meta-Transformer-L14, 265,500 steps (36 epochs) on COCO's panoptic labels
# (arXiv 2307.10802; official config
# Image/detection/configs/mask2former/mask2former_meta_transformer_adapter_large_fpn_3x_coco.py).
# Expected: no number of it is in the README. The official config cannot run (patches of 14 pixels; arguments of a BEiT
# that its backbone has not got); here patches have 16 pixels and the ViT is plain.
# Cost: 1 image on each GPU; 36 epochs in 265,500 steps are 16 GPUs; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer mask2former_meta-transformer-adapter_large_3x_coco-panoptic.py \
#     --launcher pytorch --gpus 16
_base_ = [
    "../_base_/models/mask2former_meta-adapter-l.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/dense_mmdet.py",
    "../_base_/dense_tiny_mmdet.py",
]

data_root = _base_.data_root
annotations = dict(type="LoadPanopticAnnotations", with_bbox=True, with_mask=True, with_seg=True)
load, _, flip, choice, _, pack = _base_.train_dataloader.dataset.pipeline
train_dataloader = dict(
    batch_size=1,
    sampler=dict(type="InfiniteSampler"),
    dataset=dict(
        type="CocoPanopticDataset",
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(seg="annotations/panoptic_train2017/"),
        pipeline=[dict(load, to_float32=True), annotations, flip, choice, pack],
    ),
)
whole = [dict(step) for step in _base_.val_dataloader.dataset.pipeline]
whole[2] = annotations
val_dataloader = dict(
    dataset=dict(
        type="CocoPanopticDataset",
        ann_file="annotations/panoptic_val2017.json",
        data_prefix=dict(seg="annotations/panoptic_val2017/"),
        pipeline=whole,
    )
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="CocoPanopticMetric",
        ann_file=data_root + "annotations/panoptic_val2017.json",
        seg_prefix=data_root + "annotations/panoptic_val2017/",
    ),
    dict(type="CocoMetric", ann_file=data_root + "annotations/instances_val2017.json", metric=["bbox", "segm"]),
]
test_evaluator = val_evaluator

train_cfg = dict(type="ResumableIterLoop", max_iters=265_500, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=24, layer_decay_rate=0.9),
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=False, milestones=[191_750, 236_000], gamma=0.1)]
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 16 GPUs x 1
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=5000, save_best="coco_panoptic/PQ"),
)
log_processor = dict(by_epoch=False)
custom_hooks = [*_base_.custom_hooks, dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0001, priority=49)]
del annotations, load, flip, choice, pack, whole, _

attention = dict(embed_dims=16, num_heads=2)
small = dict(
    in_channels=[16, 16, 16, 16],
    feat_channels=16,
    out_channels=16,
    num_things_classes=3,
    num_stuff_classes=0,
    num_queries=8,
    pixel_decoder=dict(
        norm_cfg=dict(num_groups=4),
        encoder=dict(
            num_layers=1,
            layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=16, feedforward_channels=16)),
        ),
        positional_encoding=dict(num_feats=8),
    ),
    positional_encoding=dict(num_feats=8),
    transformer_decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=attention,
            ffn_cfg=dict(embed_dims=16, feedforward_channels=16),
        ),
    ),
    loss_cls=dict(class_weight=[1.0, 1.0, 1.0, 0.1]),
)
tiny = {
    "model.backbone.window_size": [2, 2, 2, 4],
    "model.panoptic_head": small,
    # generated pictures have things alone
    "model.panoptic_fusion_head": dict(num_things_classes=3, num_stuff_classes=0),
    "model.test_cfg": dict(panoptic_on=False, max_per_image=8),
    "model.train_cfg.num_points": 64,
    "optim_wrapper.paramwise_cfg.num_layers": 4,
    "train_cfg.max_iters": 4,
    "train_cfg.val_interval": 4,
    "default_hooks.checkpoint": dict(interval=2, save_best="coco/segm_mAP"),
}
del attention, small
