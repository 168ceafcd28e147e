# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS04, 96 steps in, 24 out: MSE 0.095, MAE 0.205.
# Cost: about 22 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d1024_1xb32-10e_pems04-96to24.py
_base_ = "./itransformer_e4-d1024_1xb32-10e_pems04-96to12.py"

pred_len = 24
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
