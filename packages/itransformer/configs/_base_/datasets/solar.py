# Solar-Energy: 137 variates, every 10 minutes, no dates; 52,560 rows split 0.7 / 0.1 / 0.2.
_base_ = "./windows.py"

source = dict(type="SolarDataset", data="solar")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(batch_size=32, dataset=source)
