# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS04, 96 steps in, 12 out: MSE 0.078, MAE 0.183.
# Cost: about 22 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d1024_1xb32-10e_pems04-96to12.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/pems04.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

pred_len = 12
model = dict(pred_len=pred_len, d_model=1024, d_ff=1024, e_layers=4, use_norm=False)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
