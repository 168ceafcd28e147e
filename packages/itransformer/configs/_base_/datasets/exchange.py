# Exchange: 8 variates, daily; 7,588 rows split 0.7 / 0.1 / 0.2. On it repeating the last value beats every published model.
_base_ = "./windows.py"

source = dict(type="CSVForecastDataset", data="exchange")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(dataset=source)
