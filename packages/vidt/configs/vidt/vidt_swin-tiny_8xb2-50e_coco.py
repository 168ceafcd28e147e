# ViDT with Swin-tiny, 50 epochs on COCO (arXiv 2110.03921; official README of branch main @ 5207d04, main table).
# Expected: 44.9 AP on val2017.
# Cost: 8 V100 GPUs with 2 pictures each; time not stated.
#
#   mim train mmrepro-vidt vidt_swin-tiny_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/vidt_swin-tiny.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_50e.py",
    "../_base_/default_runtime.py",
]
