# Meta-Transformer (arXiv 2307.10802), time series, base encoder frozen, Exchange, 96 steps in, 336 out: MAE 0.961
# (official README @ b08a2be, which names no horizon; "22 K" parameters, those of the first tokenizer alone).
# Cost: not stated; 1 epoch. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_1xb32-1e_exchange-96to336.py
_base_ = [
    "../_base_/models/meta_forecaster.py",
    "../_base_/datasets/series_exchange.py",
    "../_base_/schedules/adam_halving_10e.py",
]

model = dict(enc_in=8, pred_len=336)
train_dataloader = dict(dataset=dict(pred_len=336))
val_dataloader = dict(dataset=dict(pred_len=336))
test_dataloader = dict(dataset=dict(pred_len=336))
train_cfg = dict(max_epochs=1)
