# ViDT+ with Swin-base, 300 [DET] tokens, 50 epochs on COCO with boxes and masks (arXiv 2204.07962; official README @
# a8c48b5, main table).
# Expected: 53.2 box AP on val2017.
# Cost: 8 GPUs with 2 pictures each; model and time not stated.
#
#   mim train mmrepro-vidt vidt-plus_swin-base_300q_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/vidt-plus_swin-base.py",
    "../_base_/datasets/coco_masks.py",
    "../_base_/schedules/adamw_50e.py",
    "../_base_/default_runtime.py",
]
