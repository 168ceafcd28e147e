# Mask R-CNN with ViT-CoMer-S from DINOv2-S, 12 epochs on COCO (arXiv 2403.07392, official README and table 1).
# Expected: 48.6 box AP and 42.9 mask AP on val2017, tested in fp16 there. Official config:
# detection/configs/mask_rcnn/dinov2/mask_rcnn_dinov2_comer_small_fpn_1x_coco.py.
# Cost: 8 GPUs, 2 images each; time not stated.
#
#   mim train mmrepro-vit-comer mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/mask-rcnn_vit-comer-s.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_1x.py",
    "../_base_/runtime_mmdet.py",
    "../_base_/tiny_mask-rcnn.py",
]
