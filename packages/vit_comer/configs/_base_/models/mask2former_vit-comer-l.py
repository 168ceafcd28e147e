# Mask2Former, the head mmsegmentation's own, with ViT-CoMer-L on a BEiT trunk, which begins as BEiTv2-L, for the 171
# classes of COCO-Stuff-164K at 896 x 896 (arXiv 2403.07392). The official config names a class that was not released:
# BEiT's trunk with the interactions of the segmentation code is what the reported number of parameters implies.
num_classes = 171
attention = dict(embed_dims=1024, num_heads=32, batch_first=True)
feed_forward = dict(embed_dims=1024, feedforward_channels=4096, num_fcs=2, ffn_drop=0.0)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(896, 896),
    ),
    backbone=dict(
        type="ViTCoMer",
        arch="large",
        variant="seg",
        trunk="beit",
        img_size=896,
        drop_path_rate=0.3,
        with_cp=True,
        init_cfg=dict(
            type="PretrainedViT",
            checkpoint="https://github.com/addf400/files/releases/download/BEiT-v2/beitv2_large_patch16_224_pt1k_ft21k.pth",
            source="beit",
        ),
    ),
    decode_head=dict(
        type="Mask2FormerHead",
        in_channels=[1024, 1024, 1024, 1024],
        strides=[4, 8, 16, 32],
        feat_channels=1024,
        out_channels=1024,
        num_classes=num_classes,
        num_queries=200,
        num_transformer_feat_level=3,
        align_corners=False,
        pixel_decoder=dict(
            type="mmdet.MSDeformAttnPixelDecoder",
            num_outs=3,
            norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(attention, num_levels=3, num_points=4, dropout=0.0), ffn_cfg=feed_forward
                ),
            ),
            positional_encoding=dict(num_feats=512, normalize=True),
        ),
        enforce_decoder_input_project=False,
        positional_encoding=dict(num_feats=512, normalize=True),
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=9,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feed_forward),
        ),
        loss_cls=dict(type="mmdet.CrossEntropyLoss", loss_weight=2.0, class_weight=[1.0] * num_classes + [0.1]),
        loss_mask=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True, loss_weight=5.0),
        loss_dice=dict(
            type="mmdet.DiceLoss", use_sigmoid=True, activate=True, naive_dice=True, eps=1.0, loss_weight=5.0
        ),
        train_cfg=dict(
            num_points=12544,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type="mmdet.HungarianAssigner",
                match_costs=[
                    dict(type="mmdet.ClassificationCost", weight=2.0),
                    dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
                    dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type="mmdet.MaskPseudoSampler"),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(896, 896), stride=(512, 512)),
)
del num_classes, attention, feed_forward
