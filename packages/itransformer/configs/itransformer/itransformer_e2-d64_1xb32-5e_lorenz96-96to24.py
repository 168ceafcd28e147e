# The quickstart: a small iTransformer on a generated series (the Lorenz-96 system, 8 variates), 96 steps in, 24 out.
# Not a row of the paper. Cost: about a minute on two CPU cores. Expected: a test MSE far below repeating the last value.
#
#   mmrepro quickstart itransformer
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/lorenz96.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=64, d_ff=128, n_heads=4, pred_len=24)
train_dataloader = dict(dataset=dict(pred_len=24))
val_dataloader = dict(dataset=dict(pred_len=24))
test_dataloader = dict(dataset=dict(pred_len=24))

train_cfg = dict(max_epochs=5)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
