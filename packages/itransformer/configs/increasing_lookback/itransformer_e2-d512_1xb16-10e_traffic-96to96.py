# iTransformer in the iTransformer paper's study of longer lookbacks (arXiv 2310.06625), Traffic,
# 96 steps in, 96 out: MSE about 0.395 (read off a plot).
# The official script's line for this length leaves out the number of layers, so it trains 2 instead of 4.
# Cost: about 13 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512_1xb16-10e_traffic-96to96.py
_base_ = "./itransformer_e4-d512_1xb16-10e_traffic-48to96.py"

seq_len = 96
model = dict(seq_len=seq_len, e_layers=2)
train_dataloader = dict(dataset=dict(seq_len=seq_len))
val_dataloader = dict(dataset=dict(seq_len=seq_len))
test_dataloader = dict(dataset=dict(seq_len=seq_len))
