# Flowformer, channel-independent, in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# Solar-Energy, 96 steps in, 96 out, all 137 variates.
# Cost: about 9 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer flowformer-ci_e2-d32-ff64_1xb8-10e_solar-96to96.py
_base_ = [
    "../_base_/models/flowformer.py",
    "../_base_/datasets/solar.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

model = dict(enc_in=1, channel_independence=True, d_model=32, d_ff=64, n_marks=0)
train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
tiny = {"model.enc_in": 1}
