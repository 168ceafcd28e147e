# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS08, 96 steps in, 48 out: MSE 0.186, MAE 0.235.
# Users of the official code report that they do not reach this number (its issues 64, 93, 172).
# Cost: about 3 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d512_1xb16-10e_pems08-96to48.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/pems08.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

pred_len = 48
model = dict(pred_len=pred_len, d_model=512, d_ff=512, e_layers=4, use_norm=False)
train_dataloader = dict(batch_size=16, dataset=dict(pred_len=pred_len))
val_dataloader = dict(batch_size=16, dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
