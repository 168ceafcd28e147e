# 36 epochs of AdamW, a tenth from epoch 27 on and a hundredth from epoch 33 on; else as over 12.
_base_ = "./adamw_1x.py"

train_cfg = dict(max_epochs=36)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], milestones=[27, 33])]
