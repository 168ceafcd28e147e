# Mask R-CNN with ViT-Adapter around Meta-Transformer-B16, 36 epochs on COCO (arXiv 2307.10802, detection table;
# official config Image/detection/configs/mask_rcnn/mask_rcnn_meta_transformer_adapter_base_fpn_3x_coco.py).
# Expected: about 46.4 box AP on val2017, quoted from memory of the paper and not verified; the paper's detector is not
# known to us.
# Cost: 8 GPUs, 2 images each; time not stated.
# Weights: the official encoder cannot be fetched by a command; the README says where it is. Without it: init_cfg=None.
#
#   mim train mmrepro-meta-transformer mask-rcnn_meta-transformer-adapter_base_3x_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/mask-rcnn_meta-adapter-b.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adapter_3x.py",
    "../_base_/dense_mmdet.py",
    "../_base_/dense_tiny_mask-rcnn.py",
]
