# Mask R-CNN with ViT-Adapter around Meta-Transformer-L14, 36 epochs on COCO (arXiv 2307.10802; official config
# Image/detection/configs/mask_rcnn/mask_rcnn_meta_transformer_adapter_large_fpn_3x_coco.py).
# Expected: no number of it is in the README. The official config cannot run (patches of 14 pixels); here they have 16.
# The official position table is for 336 pixels, the released file's has 16 x 16 rows: here it is for 224, so 14 x 14.
# Pictures are scaled to -1 ... 1, blocks near the image learn more slowly, 0.8 times per block, in float32.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer mask-rcnn_meta-transformer-adapter_large_3x_coco.py --launcher pytorch --gpus 8
_base_ = "mask-rcnn_meta-transformer-adapter_base_3x_coco.py"

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        arch="large",
        drop_path_rate=0.4,
        init_cfg=dict(checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Image_Meta-Transformer_large_patch14.pth"),
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    constructor="ViTLayerDecayConstructor",
    paramwise_cfg=dict(num_layers=24, layer_decay_rate=0.8),
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
)
tiny = {"optim_wrapper.paramwise_cfg.num_layers": 4}
