# iTransformer (arXiv 2310.06625), long-term forecasting, Traffic, 96 steps in, 336 out: MSE 0.433, MAE 0.283.
# Cost: about 26 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d512_1xb16-10e_traffic-96to336.py
_base_ = "./itransformer_e4-d512_1xb16-10e_traffic-96to96.py"

pred_len = 336
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
