# Relation-DETR, Swin-L of ImageNet-22k, four levels, 24 epochs on COCO (arXiv 2407.11699, official README's model zoo).
# Expected: 58.1 AP on val2017. Official option file: configs/relation_detr/relation_detr_swin_l_800_1333.py; it is not
# stated from which epoch on the learning rate is a tenth: here 20.
# Cost: 10 images per step as with ResNet-50; GPUs and time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_swin-l-4scale_2xb5-24e_coco.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_swin-l.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_24e.py",
    "../_base_/default_runtime.py",
]
