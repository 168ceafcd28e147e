# 24 epochs of AdamW at 1e-4 for 10 images per step (2 GPUs x 5), a tenth from epoch 20 on, which no official file
# states; warm-up over 1,000 steps, at most the first epoch.
_base_ = "./adamw_12e.py"

train_cfg = dict(max_epochs=24)
param_scheduler = [
    dict(type="FirstEpochLinearLR", start_factor=0.001, by_epoch=True, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[20], gamma=0.1),
]
