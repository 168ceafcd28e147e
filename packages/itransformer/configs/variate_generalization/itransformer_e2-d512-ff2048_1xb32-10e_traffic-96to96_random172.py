# iTransformer in the iTransformer paper's efficient training (arXiv 2310.06625),
# Traffic, 96 steps in, 96 out, trained on 172 of 862 variates drawn anew for each batch, tested on all.
# No official script trains so: its efficient_training only changes the order of the variates.
# Cost: about 4 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512-ff2048_1xb32-10e_traffic-96to96_random172.py
_base_ = "./itransformer_e2-d512-ff2048_1xb32-10e_traffic-96to96.py"

train_dataloader = dict(dataset=dict(variates=dict(random=172)))
