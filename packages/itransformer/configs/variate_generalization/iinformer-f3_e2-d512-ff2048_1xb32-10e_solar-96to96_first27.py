# iInformer in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# Solar-Energy, 96 steps in, 96 out, trained on the first 27 of 137 variates, tested on all.
# Cost: about 2 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer iinformer-f3_e2-d512-ff2048_1xb32-10e_solar-96to96_first27.py
_base_ = "./iinformer-f3_e2-d512-ff2048_1xb32-10e_solar-96to96.py"

train_dataloader = dict(dataset=dict(variates=dict(first=27)))
val_dataloader = dict(dataset=dict(variates=dict(first=27)))
