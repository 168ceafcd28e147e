# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS04, 96 steps in, 48 out: MSE 0.120, MAE 0.233.
# Cost: about 22 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d1024_1xb32-10e_pems04-96to48.py
_base_ = "./itransformer_e4-d1024_1xb32-10e_pems04-96to12.py"

pred_len = 48
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
