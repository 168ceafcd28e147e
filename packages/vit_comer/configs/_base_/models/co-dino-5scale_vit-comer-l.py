# Co-DETR on DINO with five scales and ViT-CoMer-L on a BEiT trunk, which begins as BEiTv2-L. Values are those of the
# official config (branch Co-DETR @ 8f2207f), in mmdet 3's words; the auxiliary heads' factor of 12, which stands there
# in every loss, is the detector's `auxiliary_weight`.
num_classes = 80
levels = 5
strides = [4, 8, 16, 32, 64]  # and one coarser map for anchors
attention = dict(embed_dims=256, num_heads=8, dropout=0.0)
sampled = dict(embed_dims=256, num_levels=levels, dropout=0.0)
feed_forward = dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0)

model = dict(
    type="CoMerCoDETR",
    num_queries=900,
    num_feature_levels=levels,
    with_box_refine=True,
    as_two_stage=True,
    auxiliary_weight=12.0,
    max_positives=300,
    with_cp=True,
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="ViTCoMer",
        arch="large",
        variant="co-detr",
        drop_path_rate=0.3,
        with_cp=True,
        init_cfg=dict(
            type="PretrainedViT",
            checkpoint="https://github.com/addf400/files/releases/download/BEiT-v2/beitv2_large_patch16_224_pt1k_ft21k.pth",
            source="beit",
        ),
    ),
    neck=dict(type="SFPWithLateral", in_channels=1024, out_channels=256),
    encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=sampled, ffn_cfg=feed_forward)),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=sampled, ffn_cfg=feed_forward),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=128, normalize=True, temperature=20),
    dn_cfg=dict(label_noise_scale=0.5, box_noise_scale=0.4, group_cfg=dict(dynamic=True, num_dn_queries=500)),
    bbox_head=dict(
        type="CoMerCoDINOHead",
        num_classes=num_classes,
        sync_cls_avg_factor=True,
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", loss_weight=2.0),
    ),
    rpn_head=dict(
        type="RPNHead",
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[*strides, 128],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                match_low_quality=True,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        # of the proposals in training; in the test there are none
        test_cfg=dict(nms_pre=4000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
    ),
    roi_head=dict(
        type="CoMerCoRoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=strides,
            finest_scale=56,
        ),
        bbox_head=dict(
            type="Shared2FCBBoxHead",
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=num_classes,
            bbox_coder=dict(
                type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
            ),
            reg_class_agnostic=False,
            reg_decoded_bbox=True,
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="GIoULoss", loss_weight=10.0),
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type="RandomSampler", num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    ),
    atss_head=dict(
        type="CoMerCoATSSHead",
        num_classes=num_classes,
        in_channels=256,
        stacked_convs=1,
        feat_channels=256,
        anchor_generator=dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[*strides, 128],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False),
    ),
    train_cfg=dict(
        assigner=dict(
            type="HungarianAssigner",
            match_costs=[
                dict(type="FocalLossCost", weight=2.0),
                dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="IoUCost", iou_mode="giou", weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=300, nms=dict(type="soft_nms", iou_threshold=0.8)),
)
del num_classes, levels, strides, attention, sampled, feed_forward
