# iInformer in iTransformer's boosting table (arXiv 2310.06625), Traffic,
# 96 steps in, 720 out: MSE 0.662, MAE 0.380 on average over the horizons 96, 192, 336 and 720.
# Cost: about 5 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iinformer_e2-d512-ff2048_1xb32-3e_traffic-96to720.py
_base_ = "./iinformer_e2-d512-ff2048_1xb32-3e_traffic-96to96.py"

pred_len = 720
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
