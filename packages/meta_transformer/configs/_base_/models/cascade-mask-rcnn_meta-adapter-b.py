# Cascade Mask R-CNN with ViT-Adapter around Meta-Transformer-B16. The box heads of all stages have four convolutions
# and synchronised batch norms, learn by GIoU on boxes, and have boxes of their own for each class.
_base_ = "mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ViTAdapterMeta",
        arch="base",
        variant="det",
        drop_path_rate=0.3,
        with_cp=False,
        init_cfg=dict(
            type="PretrainedMetaViT",
            checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Image_Meta-Transformer_base_patch16.pth",
        ),
    ),
    neck=dict(in_channels=[768, 768, 768, 768]),
    roi_head=dict(
        bbox_head=[
            dict(
                type="ConvFCBBoxHead",
                num_shared_convs=4,
                num_shared_fcs=1,
                in_channels=256,
                conv_out_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=stds),
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                norm_cfg=dict(type="SyncBN"),
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="GIoULoss", loss_weight=10.0),
            )
            for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
        ]
    ),
)
