# Informer, channel-independent, in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# Traffic, 96 steps in, 96 out, all 862 variates.
# Cost: about 18 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer informer-ci-f3_e2-d32-ff64_1xb4-10e_traffic-96to96.py
_base_ = [
    "../_base_/models/informer.py",
    "../_base_/datasets/traffic.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(enc_in=1, channel_independence=True, d_model=32, d_ff=64, attention=dict(factor=3))
train_dataloader = dict(batch_size=4, dataset=dict(future_marks=True))
val_dataloader = dict(batch_size=4, dataset=dict(future_marks=True))
test_dataloader = dict(dataset=dict(future_marks=True))
tiny = {"model.enc_in": 1}
