# Mask R-CNN, the upgraded one, with ViT-Adapter around Meta-Transformer-B16, 25 epochs of large-scale jittering on COCO
# (arXiv 2307.10802; official config Image/detection/configs/upgraded_mask_rcnn/
# mask_rcnn_meta_transformer_adapter_base_lsj_fpn_25ep_coco.py): no layer scale, no extra extractors, two convolutions
# in the RPN, four in the box head, synchronised batch norms in neck and heads, cosine schedule.
# Expected: no number of it is in the README.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer mask-rcnn_meta-transformer-adapter_base_lsj-25e_coco.py \
#     --launcher pytorch --gpus 8
_base_ = "mask-rcnn_meta-transformer-adapter_base_3x_coco.py"

norm_cfg = dict(type="SyncBN")
model = dict(
    # pictures are filled up to this size after they are normalised
    data_preprocessor=dict(batch_augments=[dict(type="BatchFixedSizePad", size=(1024, 1024), pad_mask=True)]),
    backbone=dict(drop_path_rate=0.1, layer_scale=False, use_extra_extractor=False),
    neck=dict(norm_cfg=norm_cfg),
    rpn_head=dict(num_convs=2),
    roi_head=dict(bbox_head=dict(type="Shared4Conv1FCBBoxHead", norm_cfg=norm_cfg), mask_head=dict(norm_cfg=norm_cfg)),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
            dict(
                type="RandomCrop",
                crop_type="absolute_range",
                crop_size=(1024, 1024),
                recompute_bbox=True,
                allow_negative_crop=True,
            ),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ]
    )
)
train_cfg = dict(max_epochs=25)
param_scheduler = [
    # mmengine's warm-up is over one step before `end`
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.01, by_epoch=True, T_max=25, end=25),
]
del norm_cfg
tiny = {
    "model.data_preprocessor.batch_augments": "_removed_",
    "model.roi_head.bbox_head.conv_out_channels": 16,
}
