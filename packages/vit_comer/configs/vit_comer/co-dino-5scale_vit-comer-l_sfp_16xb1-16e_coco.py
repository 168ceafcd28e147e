# Co-DETR (DINO with five scales) with ViT-CoMer-L from BEiTv2-L, 16 epochs on COCO (arXiv 2403.07392, table 4; official
# config co_dino_5scale_vitcomer_sfp_16e.py of branch Co-DETR @ 8f2207f).
# Expected: 62.1 box AP on val2017. No weights were published. Backbone and neck agree with the official code; detector
# and heads are ours, after Co-DETR's paper (arXiv 2211.12860), and nobody has compared them with the official ones.
# Cost: 16 GPUs, 1 image each; time not stated.
#
#   mim train mmrepro-vit-comer co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco.py --launcher pytorch --gpus 16
_base_ = [
    "../_base_/models/co-dino-5scale_vit-comer-l.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/tiny_mmdet.py",
]
# the detector needs all heads of mmdet, which segmentors would import for nothing
custom_imports = dict(imports=["mm_vit_comer", "mm_vit_comer.models.co_detr"], allow_failed_imports=False)

load, annotations, *_, pack = _base_.train_dataloader.dataset.pipeline
resize = dict(type="RandomChoiceResize", scales=[(side, 2176) for side in range(480, 1601, 32)], keep_ratio=True)
first = dict(type="RandomChoiceResize", scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True)
crop = dict(type="RandomCrop", crop_type="absolute_range", crop_size=(384, 600), allow_negative_crop=True)
flip = dict(type="RandomFlip", prob=0.5)
choice = dict(type="RandomChoice", transforms=[[resize], [first, crop, resize]])
train_dataloader = dict(
    batch_size=1,  # on each of 16 GPUs
    dataset=dict(
        filter_cfg=dict(filter_empty_gt=False),  # images without boxes are kept
        pipeline=[load, annotations, flip, choice, pack],
    ),
)
whole = [dict(step) for step in _base_.val_dataloader.dataset.pipeline]
whole[1] = dict(type="Resize", scale=(2176, 1312), keep_ratio=True)
val_dataloader = dict(dataset=dict(pipeline=whole))
test_dataloader = val_dataloader

train_cfg = dict(type="ResumableEpochLoop", max_epochs=16, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[8], gamma=0.1)]  # without warm-up
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 16 GPUs x 1
del load, annotations, pack, resize, first, crop, flip, choice, whole

tiny = {
    "model.num_queries": 20,
    "model.max_positives": 12,
    "model.backbone": dict(window_size=[2, 2, 2, 4], pretrain_size=None),
    "model.neck": dict(in_channels=32, out_channels=64),
    "model.encoder": dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=2), ffn_cfg=dict(embed_dims=64, feedforward_channels=32)
        ),
    ),
    "model.decoder": dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=2),
            cross_attn_cfg=dict(embed_dims=64, num_heads=2),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=32),
        ),
    ),
    "model.positional_encoding.num_feats": 32,
    "model.dn_cfg.group_cfg.num_dn_queries": 10,
    "model.bbox_head": dict(embed_dims=64, num_classes=3),
    "model.rpn_head": dict(in_channels=64, feat_channels=16),
    "model.roi_head.bbox_roi_extractor.out_channels": 64,
    "model.roi_head.bbox_head": dict(in_channels=64, fc_out_channels=16, num_classes=3),
    "model.atss_head": dict(in_channels=64, feat_channels=64, num_classes=3),
    "model.test_cfg.max_per_img": 30,
    "optim_wrapper.paramwise_cfg.num_layers": "_removed_",  # no rates by depth
    "val_evaluator.metric": "bbox",
    "test_evaluator.metric": "bbox",
}
