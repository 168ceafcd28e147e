# Not a row of the paper: removing Gaussian noise of deviation 15 (of 255) from grey pictures.
# arXiv 2309.05239 reports the task; its authors published neither code, settings nor weights. This is our own design
# (SwinIR's data and its head at scale 1, the schedule of training from scratch), so no number is expected, and none can
# be compared.
# Cost: not measured; about that of hat_8xb4-500k_df2k-x2, whose patches in the network are as large.
#
#   mim train mmrepro-hat hat_8xb4-500k_dfwb-grey-noise15.py --launcher pytorch --gpus 8
_base_ = "./hat_8xb4-500k_dfwb-grey-noise25.py"

spoiled = dict(degradation=dict(sigma=15))
train_dataloader = dict(dataset=spoiled)
val_dataloader = dict(dataset=spoiled)
test_dataloader = dict(dataset=spoiled)
del spoiled
