# 24 epochs of AdamW at 1e-4 for 10 images per step (2 GPUs x 5), a tenth from epoch 20 on, which no official file
# states; warm-up over 1,000 steps, at most the first epoch.
_base_ = "./adamw_12e.py"

train_cfg = dict(max_epochs=24)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[20])]
