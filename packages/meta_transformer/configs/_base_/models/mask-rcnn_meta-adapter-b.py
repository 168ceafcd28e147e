# Mask R-CNN, mmdetection's own, with ViT-Adapter around Meta-Transformer-B16.
_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

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
)
