# ETTm2: 7 variates, every 15 minutes; 34,560 / 11,520 / 11,520 rows for train / val / test.
_base_ = "./windows.py"

source = dict(type="ETTDataset", data="ettm2", interval="15min")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
