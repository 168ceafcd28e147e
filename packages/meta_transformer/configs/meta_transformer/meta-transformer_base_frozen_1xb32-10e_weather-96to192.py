# Meta-Transformer (arXiv 2307.10802), time series, base encoder frozen, Weather, 96 steps in, 192 out: MAE 0.640
# (official README @ b08a2be, which names no horizon; "51 K" parameters, those of the first tokenizer alone).
# The official script of this data set trains another model, a plain Transformer.
# Cost: not stated; at most 10 epochs. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_1xb32-10e_weather-96to192.py
_base_ = [
    "../_base_/models/meta_forecaster.py",
    "../_base_/datasets/series_weather.py",
    "../_base_/schedules/adam_halving_10e.py",
]

model = dict(enc_in=21, pred_len=192)
train_dataloader = dict(dataset=dict(pred_len=192))
val_dataloader = dict(dataset=dict(pred_len=192))
test_dataloader = dict(dataset=dict(pred_len=192))
