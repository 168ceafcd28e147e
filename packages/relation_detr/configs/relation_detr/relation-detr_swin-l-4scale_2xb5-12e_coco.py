# Relation-DETR, Swin-L of ImageNet-22k, four levels, 12 epochs on COCO (arXiv 2407.11699, official README's model zoo).
# Expected: 57.8 AP on val2017. Official option file: configs/relation_detr/relation_detr_swin_l_800_1333.py.
# Cost: 10 images per step as with ResNet-50; GPUs and time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_swin-l-4scale_2xb5-12e_coco.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_swin-l.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]
