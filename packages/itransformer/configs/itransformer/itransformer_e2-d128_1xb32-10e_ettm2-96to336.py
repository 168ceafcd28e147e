# iTransformer (arXiv 2310.06625), long-term forecasting, ETTm2, 96 steps in, 336 out: MSE 0.311, MAE 0.348.
# Cost: about 3 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d128_1xb32-10e_ettm2-96to336.py
_base_ = "./itransformer_e2-d128_1xb32-10e_ettm2-96to96.py"

pred_len = 336
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
