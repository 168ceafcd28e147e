# iFlashformer in iTransformer's boosting table (script family model_efficiency) (arXiv 2310.06625), Weather,
# 96 steps in, 96 out: MSE 0.262, MAE 0.282 on average over the horizons 96, 192, 336 and 720.
# Cost: about 27 minutes on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iflashformer_e2-d512-ff2048_1xb128-3e_weather-96to96.py
_base_ = [
    "../_base_/models/iflashformer.py",
    "../_base_/datasets/weather.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=512, d_ff=2048)
train_dataloader = dict(batch_size=128)
val_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=3)
