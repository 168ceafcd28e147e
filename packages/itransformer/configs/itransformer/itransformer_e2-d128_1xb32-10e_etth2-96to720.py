# iTransformer (arXiv 2310.06625), long-term forecasting, ETTh2, 96 steps in, 720 out: MSE 0.427, MAE 0.445.
# Cost: about 1 minute on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d128_1xb32-10e_etth2-96to720.py
_base_ = "./itransformer_e2-d128_1xb32-10e_etth2-96to96.py"

pred_len = 720
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
