# ViDT with Swin-large, 50 epochs on COCO. Not a row of the paper: the official code has it without a published number.
# Expected: nobody says.
# Cost: nobody says.
#
#   mim train mmrepro-vidt vidt_swin-large_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/vidt_swin-large.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_50e.py",
    "../_base_/default_runtime.py",
]
