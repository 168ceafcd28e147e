# iTransformer (arXiv 2310.06625), long-term forecasting, Traffic, 96 steps in, 96 out: MSE 0.395, MAE 0.268.
# Cost: about 27 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d512_1xb16-10e_traffic-96to96.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/traffic.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=512, d_ff=512, e_layers=4)
train_dataloader = dict(batch_size=16)
val_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
