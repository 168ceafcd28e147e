# Relation-DETR, ResNet-50, four levels, 24 epochs on COCO (arXiv 2407.11699, official README's model zoo).
# Expected: 52.1 AP on val2017. Official option file: configs/relation_detr/relation_detr_resnet50_800_1333.py; it is
# not stated from which epoch on the learning rate is a tenth: here 20.
# Cost: 2 GPUs of 80 GB, 5 images each (official issue #9); time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_r50-4scale_2xb5-24e_coco.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_r50.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_24e.py",
    "../_base_/default_runtime.py",
]
