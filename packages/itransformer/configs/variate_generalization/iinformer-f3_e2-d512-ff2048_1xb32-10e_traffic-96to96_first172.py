# iInformer in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# Traffic, 96 steps in, 96 out, trained on the first 172 of 862 variates, tested on all.
# Cost: about 3 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iinformer-f3_e2-d512-ff2048_1xb32-10e_traffic-96to96_first172.py
_base_ = "./iinformer-f3_e2-d512-ff2048_1xb32-10e_traffic-96to96.py"

train_dataloader = dict(dataset=dict(variates=dict(first=172)))
val_dataloader = dict(dataset=dict(variates=dict(first=172)))
