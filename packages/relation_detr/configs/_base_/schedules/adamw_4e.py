# 4 epochs of AdamW at 1e-4 for 10 images per step, a tenth from epoch 3 on; warm-up over 1,000 steps, at most the first
# epoch. The paper says 4 epochs, the official repository has no file for the rest: batch and milestone are those of
# COCO and our choice.
_base_ = "./adamw_12e.py"

train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type="FirstEpochLinearLR", start_factor=0.001, by_epoch=True, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[3], gamma=0.1),
]
