# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS08, 96 steps in, 12 out: MSE 0.079, MAE 0.182.
# Cost: about 2 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512_1xb32-10e_pems08-96to12.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/pems08.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

pred_len = 12
model = dict(pred_len=pred_len, d_model=512, d_ff=512)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
