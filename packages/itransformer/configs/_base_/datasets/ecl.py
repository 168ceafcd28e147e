# ECL: 321 variates, hourly; 26,304 rows split 0.7 / 0.1 / 0.2.
_base_ = "./windows.py"

source = dict(type="CSVForecastDataset", data="electricity")
train_dataloader = dict(dataset=source)
val_dataloader = dict(dataset=source)
test_dataloader = dict(batch_size=32, dataset=source)
