# 4 epochs of AdamW at 1e-4 for 10 images per step, a tenth from epoch 3 on; warm-up over 1,000 steps, at most the first
# epoch. The paper says 4 epochs, the official repository has no file for the rest: batch and milestone are those of
# COCO and our choice.
_base_ = "./adamw_12e.py"

train_cfg = dict(max_epochs=4)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[3])]
