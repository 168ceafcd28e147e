# Not a row of the paper: removing the artefacts of JPEG at quality 40 (of 100) from colour pictures.
# arXiv 2309.05239 reports the task; its authors published neither code, settings nor weights. This is our own design
# (SwinIR's data and its head at scale 1, the schedule of training from scratch), so no number is expected, and none can
# be compared.
# Cost: not measured; about that of hat_8xb4-500k_df2k-x2, whose patches in the network are as large.
#
#   mim train mmrepro-hat hat_8xb4-500k_dfwb-jpeg40.py --launcher pytorch --gpus 8
_base_ = "./hat_8xb4-500k_dfwb-jpeg10.py"

spoiled = dict(degradation=dict(quality=40))
train_dataloader = dict(dataset=spoiled)
val_dataloader = dict(dataset=spoiled)
test_dataloader = dict(dataset=spoiled)
del spoiled
