# iTransformer (arXiv 2310.06625), long-term forecasting, ETTm1, 96 steps in, 192 out: MSE 0.377, MAE 0.391.
# Cost: about 3 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d128_1xb32-10e_ettm1-96to192.py
_base_ = "./itransformer_e2-d128_1xb32-10e_ettm1-96to96.py"

pred_len = 192
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
