# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS07, 96 steps in, 12 out: MSE 0.067, MAE 0.165.
# Cost: about 19 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512_1xb32-10e_pems07-96to12.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/pems07.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

pred_len = 12
model = dict(pred_len=pred_len, d_model=512, d_ff=512, use_norm=False)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
