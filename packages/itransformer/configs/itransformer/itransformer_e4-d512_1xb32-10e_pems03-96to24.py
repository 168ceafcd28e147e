# iTransformer (arXiv 2310.06625), short-term forecasting, PEMS03, 96 steps in, 24 out: MSE 0.093, MAE 0.201.
# Cost: about 11 hours on one CPU core (estimated from its multiply-accumulates).
#
#   mim train mmrepro-itransformer itransformer_e4-d512_1xb32-10e_pems03-96to24.py
_base_ = "./itransformer_e4-d512_1xb32-10e_pems03-96to12.py"

pred_len = 24
model = dict(pred_len=pred_len)
train_dataloader = dict(dataset=dict(pred_len=pred_len))
val_dataloader = dict(dataset=dict(pred_len=pred_len))
test_dataloader = dict(dataset=dict(pred_len=pred_len))
