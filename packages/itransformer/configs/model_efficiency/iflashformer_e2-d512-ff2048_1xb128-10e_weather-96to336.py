# iFlashformer in iTransformer's boosting table (script family model_efficiency) (arXiv 2310.06625), Weather,
# 96 steps in, 336 out: MSE 0.262, MAE 0.282 on average over the horizons 96, 192, 336 and 720.
# Cost: about 2 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iflashformer_e2-d512-ff2048_1xb128-10e_weather-96to336.py
_base_ = "./iflashformer_e2-d512-ff2048_1xb128-3e_weather-96to96.py"

pred_len = 336
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
train_cfg = dict(max_epochs=10)
