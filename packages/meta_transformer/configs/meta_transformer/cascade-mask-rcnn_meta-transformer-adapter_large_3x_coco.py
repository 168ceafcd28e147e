# Cascade Mask R-CNN with ViT-Adapter around Meta-Transformer-L14, 36 epochs on COCO (arXiv 2307.10802; official config
# Image/detection/configs/cascade_rcnn/cascade_mask_rcnn_meta_transformer_adapter_large_fpn_3x_coco.py).
# Expected: no number of it is in the README. The official config cannot run (patches of 14 pixels); here they have 16.
# Every sixth block attends in windows of 56 tokens, the others in windows of 14.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer cascade-mask-rcnn_meta-transformer-adapter_large_3x_coco.py \
#     --launcher pytorch --gpus 8
_base_ = "cascade-mask-rcnn_meta-transformer-adapter_base_3x_coco.py"

model = dict(
    backbone=dict(
        arch="large",
        drop_path_rate=0.4,
        window_attn=True,
        window_size=4 * [14, 14, 14, 14, 14, 56],
        init_cfg=dict(checkpoint="{{$MMREPRO_DATA_ROOT:data}}/checkpoints/Image_Meta-Transformer_large_patch14.pth"),
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
tiny = {"model.backbone.window_size": [2, 2, 2, 4]}
