# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS07, 96 steps in, 24 out: MSE 0.088, MAE 0.190.
# Cost: about 19 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e2-d512_1xb32-10e_pems07-96to24.py
_base_ = "./itransformer_e2-d512_1xb32-10e_pems07-96to12.py"

pred_len = 24
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
