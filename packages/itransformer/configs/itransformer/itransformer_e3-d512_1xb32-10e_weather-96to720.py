# iTransformer (arXiv 2310.06625), long-term forecasting, Weather, 96 steps in, 720 out: MSE 0.358, MAE 0.347.
# Cost: about 40 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e3-d512_1xb32-10e_weather-96to720.py
_base_ = "./itransformer_e3-d512_1xb32-10e_weather-96to96.py"

pred_len = 720
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
