# Flowformer in iTransformer's boosting table (arXiv 2310.06625), ECL,
# 96 steps in, 96 out: MSE 0.267, MAE 0.359 on average over the horizons 96, 192, 336 and 720.
# Cost: about 7 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer flowformer_e2-d512-ff2048_1xb32-10e_ecl-96to96.py
_base_ = [
    "../_base_/models/flowformer.py",
    "../_base_/datasets/ecl.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(enc_in=321, d_model=512, d_ff=2048)
train_dataloader = dict(dataset=dict(future_marks=True))
val_dataloader = dict(dataset=dict(future_marks=True))
test_dataloader = dict(dataset=dict(future_marks=True))
