# iTransformer (arXiv 2310.06625), long-term forecasting, Traffic, 96 steps in, 192 out: MSE 0.417, MAE 0.276.
# Cost: about 26 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d512_1xb16-10e_traffic-96to192.py
_base_ = "./itransformer_e4-d512_1xb16-10e_traffic-96to96.py"

pred_len = 192
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
