# iTransformer (arXiv 2310.06625), long-term forecasting, ETTh1, 96 steps in, 720 out: MSE 0.503, MAE 0.491.
# Cost: about 4 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d512_1xb32-10e_etth1-96to720.py
_base_ = "./itransformer_e2-d256_1xb32-10e_etth1-96to96.py"

pred_len = 720
model = dict(d_model=512, d_ff=512, pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
