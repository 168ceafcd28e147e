# Cascade Mask R-CNN with ViT-Adapter around Meta-Transformer-B16, 36 epochs on COCO (arXiv 2307.10802; official config
# Image/detection/configs/cascade_rcnn/cascade_mask_rcnn_meta_transformer_adapter_base_fpn_3x_coco.py).
# Expected: no number of it is in the README.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer cascade-mask-rcnn_meta-transformer-adapter_base_3x_coco.py \
#     --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/cascade-mask-rcnn_meta-adapter-b.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adapter_3x.py",
    "../_base_/dense_mmdet.py",
    "../_base_/dense_tiny_mask-rcnn.py",
]

# three stages have a head each, and a list is replaced as a whole
small = dict(in_channels=16, conv_out_channels=16, fc_out_channels=16, num_classes=3)
heads = [dict(head, **small) for head in _base_.model.roi_head.bbox_head]
tiny = {"model.roi_head.bbox_head": heads}
del heads, small
