# iTransformer in the iTransformer paper's efficient training (arXiv 2310.06625),
# ECL, 96 steps in, 96 out, trained on 64 of 321 variates drawn anew for each batch, tested on all.
# No official script trains so: its efficient_training only changes the order of the variates.
# Cost: about 2 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512-ff2048_1xb32-10e_ecl-96to96_random64.py
_base_ = "../boost_performance/itransformer_e2-d512-ff2048_1xb32-10e_ecl-96to96.py"

train_dataloader = dict(dataset=dict(variates=dict(random=64)))
