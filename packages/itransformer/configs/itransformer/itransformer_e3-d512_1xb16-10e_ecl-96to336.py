# iTransformer (arXiv 2310.06625), long-term forecasting, ECL, 96 steps in, 336 out: MSE 0.178, MAE 0.269.
# Cost: about 9 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e3-d512_1xb16-10e_ecl-96to336.py
_base_ = "./itransformer_e3-d512_1xb16-10e_ecl-96to96.py"

pred_len = 336
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
