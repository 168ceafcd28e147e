# Meta-Transformer (arXiv 2307.10802), time series, base encoder frozen, Traffic, 96 steps in, 192 out: MAE 0.372
# (official README @ b08a2be, which names no horizon; "2 M" parameters, those of the first tokenizer alone).
# Cost: not stated; 3 epochs. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_1xb32-3e_traffic-96to192.py
_base_ = [
    "../_base_/models/meta_forecaster.py",
    "../_base_/datasets/series_traffic.py",
    "../_base_/schedules/adam_halving_10e.py",
]

model = dict(enc_in=862, pred_len=192)
train_dataloader = dict(dataset=dict(pred_len=192))
val_dataloader = dict(dataset=dict(pred_len=192))
test_dataloader = dict(dataset=dict(pred_len=192))
train_cfg = dict(max_epochs=3)
