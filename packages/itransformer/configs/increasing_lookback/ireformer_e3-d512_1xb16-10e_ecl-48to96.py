# iReformer in the iTransformer paper's study of longer lookbacks (arXiv 2310.06625), ECL,
# 48 steps in, 96 out.
# Cost: about 7 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer ireformer_e3-d512_1xb16-10e_ecl-48to96.py
_base_ = [
    "../_base_/models/ireformer.py",
    "../_base_/datasets/ecl.py",
    "../_base_/schedules/adam_halving_10e.py",
    "../_base_/default_runtime.py",
]

seq_len = 48
model = dict(seq_len=seq_len, d_model=512, d_ff=512, e_layers=3)
train_dataloader = dict(batch_size=16, dataset=dict(seq_len=seq_len))
val_dataloader = dict(batch_size=16, dataset=dict(seq_len=seq_len))
test_dataloader = dict(dataset=dict(seq_len=seq_len))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
