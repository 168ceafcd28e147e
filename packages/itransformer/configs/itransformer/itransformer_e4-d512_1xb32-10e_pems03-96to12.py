# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS03, 96 steps in, 12 out: MSE 0.071, MAE 0.174.
# Cost: about 11 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d512_1xb32-10e_pems03-96to12.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/pems03.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

pred_len = 12
model = dict(pred_len=pred_len, d_model=512, d_ff=512, e_layers=4)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
