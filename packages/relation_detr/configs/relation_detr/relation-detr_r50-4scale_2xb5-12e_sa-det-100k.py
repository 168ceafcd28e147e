# Relation-DETR, ResNet-50, four levels, 12 epochs on SA-Det-100k, one class (arXiv 2407.11699, official README).
# Expected: 45.0 AP on its validation images. Official option file:
# configs/relation_detr/relation_detr_resnet50_800_1333.py with its 91 outputs; the published file's number of outputs
# is not stated.
# Cost: 2 GPUs of 80 GB, 5 images each, as on COCO; time not stated.
#
#   mim train mmrepro-relation-detr relation-detr_r50-4scale_2xb5-12e_sa-det-100k.py --launcher pytorch --gpus 2
_base_ = [
    "../_base_/models/relation-detr_r50.py",
    "../_base_/datasets/sa-det-100k.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/default_runtime.py",
]
