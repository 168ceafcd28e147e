# Relation-DETR, ResNet-50, four levels, 12 epochs on COCO (arXiv 2407.11699, official README's model zoo).
# Expected: 51.7 AP on val2017. Official option file: configs/relation_detr/relation_detr_resnet50_800_1333.py.
# Cost: 2 GPUs of 80 GB, 5 images each (official issue #9); time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_r50-4scale_2xb5-12e_coco.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_r50.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]
