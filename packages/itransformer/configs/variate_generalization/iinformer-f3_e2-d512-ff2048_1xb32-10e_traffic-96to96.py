# iInformer in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# Traffic, 96 steps in, 96 out, all 862 variates.
# Cost: about 17 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iinformer-f3_e2-d512-ff2048_1xb32-10e_traffic-96to96.py
_base_ = [
    "../_base_/models/iinformer.py",
    "../_base_/datasets/traffic.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(d_model=512, d_ff=2048, attention=dict(factor=3))
