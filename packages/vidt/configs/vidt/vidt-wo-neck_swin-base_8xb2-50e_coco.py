# ViDT without neck with Swin-base, 50 epochs on COCO (official branch main @ 5207d04). Not a row of the paper:
# there is no published number.
# Expected: nobody says.
# Cost: nobody says.
#
#   mim train mmrepro-vidt vidt-wo-neck_swin-base_8xb2-50e_coco.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/vidt-wo-neck_swin-base.py",
    "../_base_/datasets/coco.py",
    "../_base_/schedules/adamw_50e.py",
    "../_base_/default_runtime.py",
]
