# Informer, channel-independent, in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# Traffic, 96 steps in, 96 out, trained on the first 172 of 862 variates, tested on all.
# Cost: about 4 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer informer-ci-f3_e2-d32-ff64_1xb4-10e_traffic-96to96_first172.py
_base_ = "./informer-ci-f3_e2-d32-ff64_1xb4-10e_traffic-96to96.py"

train_dataloader = dict(dataset=dict(variates=dict(first=172)))
val_dataloader = dict(dataset=dict(variates=dict(first=172)))
