# iTransformer (arXiv 2310.06625), long-term forecasting, ETTh1, 96 steps in, 192 out: MSE 0.441, MAE 0.436.
# Cost: about 3 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d256_1xb32-10e_etth1-96to192.py
_base_ = "./itransformer_e2-d256_1xb32-10e_etth1-96to96.py"

pred_len = 192
model = dict(d_model=256, d_ff=256, pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
