# iReformer in the iTransformer paper's study of longer lookbacks (arXiv 2310.06625), Traffic,
# 96 steps in, 96 out.
# Cost: about 17 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer ireformer_e4-d512_1xb16-10e_traffic-96to96.py
_base_ = "./ireformer_e4-d512_1xb16-10e_traffic-48to96.py"

seq_len = 96
model = dict(seq_len=seq_len)
train_dataloader = dict(dataset=dict(seq_len=seq_len))
val_dataloader = dict(dataset=dict(seq_len=seq_len))
test_dataloader = dict(dataset=dict(seq_len=seq_len))
