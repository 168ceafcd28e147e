# iInformer in the iTransformer paper's study of longer lookbacks (arXiv 2310.06625), ECL,
# 720 steps in, 96 out.
# Cost: about 8 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iinformer_e3-d512_1xb16-10e_ecl-720to96.py
_base_ = "./iinformer_e3-d512_1xb16-10e_ecl-48to96.py"

seq_len = 720
model = dict(seq_len=seq_len)
train_dataloader = dict(dataset=dict(seq_len=seq_len))
val_dataloader = dict(dataset=dict(seq_len=seq_len))
test_dataloader = dict(dataset=dict(seq_len=seq_len))
