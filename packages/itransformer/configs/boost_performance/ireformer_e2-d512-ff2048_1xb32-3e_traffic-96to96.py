# iReformer in iTransformer's boosting table (arXiv 2310.06625), Traffic,
# 96 steps in, 96 out: MSE 0.647, MAE 0.370 on average over the horizons 96, 192, 336 and 720.
# Cost: about 5 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer ireformer_e2-d512-ff2048_1xb32-3e_traffic-96to96.py
_base_ = [
    "../_base_/models/ireformer.py",
    "../_base_/datasets/traffic.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=512, d_ff=2048)
train_cfg = dict(max_epochs=3)
