# iTransformer (arXiv 2310.06625), long-term forecasting, Exchange, 96 steps in, 336 out: MSE 0.331, MAE 0.417.
# The official script trains this row for one epoch.
# Cost: a quarter of a minute on one CPU core.
#
#   mim train mmrepro-itransformer itransformer_e2-d128_1xb32-1e_exchange-96to336.py
_base_ = "./itransformer_e2-d128_1xb32-10e_exchange-96to96.py"

pred_len = 336
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))

train_cfg = dict(max_epochs=1)
