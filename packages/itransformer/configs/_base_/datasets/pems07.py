# PEMS07: 883 variates, every 5 minutes, no dates; 28,224 rows split 0.6 / 0.2 / 0.2.
_base_ = "./windows.py"

source = dict(type="PEMSDataset", data="pems07")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(batch_size=32, dataset=source)
