# iReformer in the iTransformer paper's study of unseen variates (arXiv 2310.06625),
# ECL, 96 steps in, 96 out, trained on the first 64 of 321 variates, tested on all.
# Cost: about 2 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer ireformer_e2-d512-ff2048_1xb32-10e_ecl-96to96_first64.py
_base_ = "../boost_performance/ireformer_e2-d512-ff2048_1xb32-10e_ecl-96to96.py"

train_dataloader = dict(dataset=dict(variates=dict(first=64)))
val_dataloader = dict(dataset=dict(variates=dict(first=64)))
