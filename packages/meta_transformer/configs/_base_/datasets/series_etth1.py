# ETTh1: 7 variates, hourly; 8,640 / 2,880 / 2,880 rows for train / val / test.
_base_ = "./series_windows.py"

source = dict(type="ETTDataset", data="etth1")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
