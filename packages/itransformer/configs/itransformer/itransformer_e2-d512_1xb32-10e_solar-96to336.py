# iTransformer (arXiv 2310.06625), long-term forecasting, Solar-Energy, 96 steps in, 336 out: MSE 0.248, MAE 0.273.
# Cost: about 5 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512_1xb32-10e_solar-96to336.py
_base_ = "./itransformer_e2-d512_1xb32-10e_solar-96to96.py"

pred_len = 336
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
