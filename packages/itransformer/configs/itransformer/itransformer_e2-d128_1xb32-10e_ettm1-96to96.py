# iTransformer (arXiv 2310.06625), long-term forecasting, ETTm1, 96 steps in, 96 out: MSE 0.334, MAE 0.368.
# Cost: about 3 minutes on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d128_1xb32-10e_ettm1-96to96.py
_base_ = [
    "../_base_/models/itransformer.py",
    "../_base_/datasets/ettm1.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=128, d_ff=128)
