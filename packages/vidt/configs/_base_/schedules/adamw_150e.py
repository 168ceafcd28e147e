# As adamw_50e.py, for 150 epochs.
_base_ = "adamw_50e.py"

max_epochs = 150
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(_base_.param_scheduler[0], end=max_epochs, T_max=max_epochs)]
