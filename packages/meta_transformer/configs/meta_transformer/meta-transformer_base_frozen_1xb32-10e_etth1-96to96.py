# Meta-Transformer (arXiv 2307.10802), time series, base encoder frozen, ETTh1, 96 steps in, 96 out: MAE 0.797
# (official README @ b08a2be, which names no horizon; "19 K" parameters, those of the first tokenizer alone).
# Cost: not stated; at most 10 epochs. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_1xb32-10e_etth1-96to96.py
_base_ = [
    "../_base_/models/meta_forecaster.py",
    "../_base_/datasets/series_etth1.py",
    "../_base_/schedules/adam_halving_10e.py",
]

model = dict(enc_in=7)
