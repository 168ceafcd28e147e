# iTransformer (arXiv 2310.06625), long-term forecasting, ETTh1, 96 steps in, 96 out: MSE 0.386, MAE 0.405.
# Cost: about 3 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d256_1xb32-10e_etth1-96to96.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/etth1.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=256, d_ff=256)
