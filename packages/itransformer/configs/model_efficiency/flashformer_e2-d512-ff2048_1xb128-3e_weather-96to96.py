# Flashformer in iTransformer's boosting table (script family model_efficiency) (arXiv 2310.06625), Weather,
# 96 steps in, 96 out: MSE 0.659, MAE 0.574 on average over the horizons 96, 192, 336 and 720.
# Cost: about 4 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer flashformer_e2-d512-ff2048_1xb128-3e_weather-96to96.py
_base_ = [
    "../_base_/models/flashformer.py",
    "../_base_/datasets/weather.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(enc_in=21, d_model=512, d_ff=2048)
train_dataloader = dict(batch_size=128, dataset=dict(future_marks=True))
val_dataloader = dict(batch_size=128, dataset=dict(future_marks=True))
test_dataloader = dict(dataset=dict(future_marks=True))
train_cfg = dict(max_epochs=3)
